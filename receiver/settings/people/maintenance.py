"""Recurring maintenance windows."""

from __future__ import annotations

from datetime import timedelta

from pydantic import field_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration
from deploywatch.receiver.settings.people.on_call import LocalTime, Weekday, ZoneName

_LONGEST = timedelta(days=7)


class RecurringWindow(Settings):
    """A window on these days (every day, when none is named), from `at` on the wall's clock, for so long.

    `*` stands for any service or environment. With `tell`, people hear of incidents as ever; only actions wait.
    """

    name: str
    service: str = "*"
    environment: str = "*"
    days: tuple[Weekday, ...] = ()
    at: LocalTime
    lasts: Duration
    zone: ZoneName = "UTC"
    tell: bool = False

    @field_validator("lasts")
    @classmethod
    def _some_time(cls, lasts: timedelta) -> timedelta:
        if not timedelta() < lasts <= _LONGEST:
            raise ValueError("a window lasts more than 0s and at most 7d")
        return lasts
