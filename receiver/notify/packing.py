"""What a delivery says, packed as the payload of its job; `compose` reads it when the message is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from deploywatch.receiver.story import Event, RollbackView


def packed(
    event: Event,
    now: datetime,
    *,
    note: str,
    rollback: RollbackView | None,
    more: Mapping[str, datetime | timedelta | str | None],
) -> dict[str, Any]:
    """The payload of a delivery, but for its channel."""
    return {
        "event": event,
        "at": now.isoformat(),
        "note": note,
        "rollback": _pack(rollback),
        "more": {name: _plain(value) for name, value in more.items()},
    }


def _plain(value: datetime | timedelta | str | None) -> str | float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime) else value


def _pack(rollback: RollbackView | None) -> dict[str, Any] | None:
    if rollback is None:
        return None
    seconds = rollback.duration.total_seconds() if rollback.duration is not None else None
    return {
        "from_version": rollback.from_version,
        "to_version": rollback.to_version,
        "reason": rollback.reason,
        "detail": rollback.detail,
        "duration": seconds,
    }
