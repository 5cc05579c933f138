"""Writes sign-ins that failed into the audit: each, up to a number a minute; then how many there were more."""

from __future__ import annotations

from datetime import datetime, timedelta

MOST = 30
"""Rows of refusals that are written within a minute: a guesser must not fill the store."""
_WITHIN = timedelta(minutes=1)


class Refusals:
    """Counts what is written, and what is not."""

    def __init__(self) -> None:
        self._began: datetime | None = None
        self._written = 0
        self._left_out = 0

    def next(self, now: datetime) -> int | None:
        """How many were left out before this one, which is to be written; None to leave this one out too."""
        if self._began is None or now - self._began >= _WITHIN:
            self._began, self._written = now, 0
        if self._written >= MOST:
            self._left_out += 1
            return None
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
