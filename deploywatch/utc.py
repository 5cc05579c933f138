"""UTC: what the wall says in it, and other zones' times; apart from `clock`, which brings asyncio and pydantic."""

from __future__ import annotations

from datetime import UTC, datetime


def in_utc(value: datetime) -> datetime:
    """The same moment in UTC; ValueError when that has no year from 1 to 9999."""
    try:
        return value.astimezone(UTC)
    # `0001-01-01T00:00:00+01:00` is a moment of the year 0; Go's zero time, which Alertmanager sends, is no such one.
    except OverflowError as error:
        raise ValueError("is no time in UTC: the year must be from 1 to 9999 there") from error


def utc_now() -> datetime:
    """The real time, in UTC."""
    return datetime.now(UTC)
