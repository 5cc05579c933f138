"""Maintenance windows: when actions for a service are held back; recurring ones from the config, pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from deploywatch.receiver.settings.people.maintenance import RecurringWindow
from deploywatch.receiver.settings.people.on_call import WEEKDAYS


@dataclass(frozen=True, slots=True)
class Window:
    """One window in time, UTC; `id` is None for one from the config."""

    service: str
    environment: str
    starts_at: datetime
    ends_at: datetime
    tell: bool
    reason: str
    id: int | None = None
    created_by: str = ""
    ended_by: str | None = None

    def covers(self, service: str, environment: str, at: datetime) -> bool:
        """Whether it holds for this service and environment at that time."""
        where = self.service in ("*", service) and self.environment in ("*", environment)
        return where and self.starts_at <= at < self.ends_at


@dataclass(frozen=True, slots=True)
class Hold:
    """Actions are held until then; messages too, unless `tell`."""

    until: datetime
    tell: bool
    reason: str

    def __str__(self) -> str:
        return f"held until {self.until:%Y-%m-%d %H:%M} UTC: {self.reason}"


def occurrence(recurring: RecurringWindow, at: datetime) -> Window | None:
    """The window of a recurring one that is open at a time; of several that overlap, the one that ends last."""
    zone = ZoneInfo(recurring.zone)
    today = at.astimezone(zone).date()
    # A window may have begun days ago and last; one day more, as its zone's date may be ahead of ours.
    for back in range(recurring.lasts.days + 2):
        day = today - timedelta(days=back)
        if recurring.days and WEEKDAYS[day.weekday()] not in recurring.days:
            continue
        # On the wall's clock of its zone first: 02:00 stays 02:00 when the clocks are changed.
        begins = datetime.combine(day, recurring.at, zone).astimezone(UTC)
        if begins <= at < begins + recurring.lasts:
            ends = begins + recurring.lasts
            return Window(recurring.service, recurring.environment, begins, ends, recurring.tell, recurring.name)
    return None


def hold(windows: Iterable[Window], service: str, environment: str, at: datetime) -> Hold | None:
    """What holds for a service now: until the last of its windows ends; people hear when all of them allow it."""
    open_windows = [window for window in windows if window.covers(service, environment, at)]
    if not open_windows:
        return None
    last = max(open_windows, key=lambda window: window.ends_at)
    # The most careful of several counts, as each was written for a reason of its own.
    return Hold(last.ends_at, all(window.tell for window in open_windows), last.reason)
