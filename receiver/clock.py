"""Time as it is passed in, so that decisions can be tested without waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]


def in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is no time in UTC: the year must be from 1 to 9999 there") from error


UtcTime = Annotated[AwareDatetime, AfterValidator(in_utc)]
"""A field for a time with its zone, taken over as UTC."""


def utc_now() -> datetime:
    """The real clock, in UTC."""
    return datetime.now(UTC)
