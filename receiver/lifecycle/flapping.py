"""Flap damping: an incident that keeps coming back must stay quiet for longer before it counts as resolved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from deploywatch.quantity import format_duration
from deploywatch.receiver.settings.people.flapping import Damping


@dataclass(frozen=True, slots=True)
class Quiet:
    """How long an incident must be quiet; `why` is empty when that is the usual time."""

    time: timedelta
    why: str = ""


def quiet_needed(reopened: Iterable[datetime], now: datetime, usual: timedelta, settings: Damping) -> Quiet:
    """How long the incident must be quiet, from when it was reopened before."""
    # Counted by its reopenings, which people felt, and not by how often alerts changed.
    count = sum(now - settings.window <= at <= now for at in reopened)
    if count < settings.reopenings or settings.quiet_time <= usual:
        return Quiet(usual)
    longer, window = format_duration(settings.quiet_time), format_duration(settings.window)
    return Quiet(settings.quiet_time, f"it came back {count} times within {window}, so it must be quiet for {longer}")
