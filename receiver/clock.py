"""Time as it is passed in, so that decisions can be tested without waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]


def utc_now() -> datetime:
    """The real clock, in UTC."""
    return datetime.now(UTC)
