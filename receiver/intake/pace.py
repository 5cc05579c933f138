"""The pace of the intake: how many alerts one transaction takes, so that what waits for it does not wait long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAST: Final = 50
MOST: Final = 2_000
GOAL: Final = 0.1
"""Seconds of a transaction: a webhook waits for the one that is under way, and for its own."""


@dataclass(slots=True)
class Pace:
    """How many alerts go into the next transaction, from how long those before took on this machine, busy as it is."""

    alerts: int = 500
    least: int = LEAST
    most: int = MOST

    def took(self, seconds: float, alerts: int) -> None:
        """Learn from a transaction. One that was not full says little of a full one."""
        if 2 * alerts < self.alerts:
            return
        # Sooner when it was too slow; a single fast one is trusted with twice as many.
        fits = int(alerts * GOAL / max(seconds, GOAL / 1000))
        self.alerts = max(self.least, min(fits, 2 * self.alerts, self.most))
