"""The hours in which a rotation has somebody on call, by the clock on the wall: pure functions of the time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from deploywatch.receiver.settings.people.on_call import WEEKDAYS, Hours, Rotation

_DAY = timedelta(days=1)
_NEAR = (-_DAY, timedelta(), _DAY)
"""The days on whose hours a time may be, seen from its own: hours may go on after midnight."""
# A day more than a week, so that next week's span of today is among them.
_A_WEEK = 8


class Span(NamedTuple):
    """From when until when (UTC)."""

    since: datetime
    until: datetime


def around(rotation: Rotation, at: datetime, within: Span) -> Span | None:
    """The hours that hold a time, joined with those that follow each other without a gap; None outside of them.

    They are not looked for beyond `within`.
    """
    hours = _holding(rotation, at)
    if hours is None:
        return None
    since, until = hours
    # Hours that touch (00:00 to 24:00, day after day) are one turn to people, and not one a day.
    while until < within.until and (later := _holding(rotation, until)):
        until = later.until
    while since > within.since and (earlier := _before(rotation, since)):
        since = earlier.since
    return Span(max(since, within.since), min(until, within.until))


def begin_next(rotation: Rotation, at: datetime) -> datetime:
    """When the hours begin next, later than `at`."""
    today = _local_date(rotation, at)
    spans = (span for days in range(-1, _A_WEEK + 1) for span in _of_day(rotation, today + days * _DAY))
    return min(span.since for span in spans if span.since > at)


def _holding(rotation: Rotation, at: datetime) -> Span | None:
    spans = (span for span in _near(rotation, at) if span.since <= at < span.until)
    return max(spans, key=lambda span: span.until, default=None)


def _before(rotation: Rotation, at: datetime) -> Span | None:
    spans = (span for span in _near(rotation, at) if span.since < at <= span.until)
    return min(spans, default=None)


def _near(rotation: Rotation, at: datetime) -> Iterator[Span]:
    today = _local_date(rotation, at)
    for days in _NEAR:
        yield from _of_day(rotation, today + days)


def _of_day(rotation: Rotation, day: date) -> Iterator[Span]:
    """The hours that begin on a day there; those that a change of the clock leaves empty are none."""
    zone = ZoneInfo(rotation.zone)
    for hours in rotation.hours:
        if WEEKDAYS[day.weekday()] in hours.days:
            span = _span(hours, day, zone)
            if span.since < span.until:
                yield span


def _span(hours: Hours, day: date, zone: ZoneInfo) -> Span:
    last = day if hours.since < hours.until else day + _DAY
    return Span(
        datetime.combine(day, hours.since, zone).astimezone(UTC),
        datetime.combine(last, hours.until, zone).astimezone(UTC),
    )


def _local_date(rotation: Rotation, at: datetime) -> date:
    return at.astimezone(ZoneInfo(rotation.zone)).date()
