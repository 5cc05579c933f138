"""A service's performance after a deployment against before it, over days: like hours are compared with like.

The time before is as long as the time after and lies whole days earlier, so that night stands against night. What is
told of a signal is how much its usual value (the median) moved, and in how many hours it moved that way. It is a
comparison of two weeks, and no verdict: what else changed meanwhile is in it, too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any, Final, Literal

from deploywatch.verdict.plan_parts import HealthSignal

Sample = tuple[float, float]
"""A Unix time and a value."""
Told = Literal["better", "worse", "about the same", "not measured"]

DAY: Final = timedelta(days=1)
HOUR: Final = 3600.0
LEAST: Final = 0.05
"""By which share of what was usual a median must move at least to be told of."""
MOST_HOURS: Final = 0.75
"""In which share of the hours it must have moved that way."""
FEWEST_HOURS: Final = 6
"""Of fewer hours in both times nothing is told."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time."""

    since: datetime
    until: datetime

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.until - self.since).total_seconds() / HOUR


@dataclass(frozen=True, slots=True)
class Times:
    """The two times that are compared; `shift` are the whole days between them."""

    before: Span
    after: Span
    shift: timedelta


@dataclass(frozen=True, slots=True)
class Side:
    """A signal in one of the times: the median and the 95th percentile of its values; `hours` that have some."""

    median: float | None
    p95: float | None
    hours: int


@dataclass(frozen=True, slots=True)
class Change:
    """One signal, before and after; `change` is the median's, as a share of what it was, None from 0 or without one.

    `hours` were measured in both times, in the share `higher` of them it was higher after the deployment.
    """

    signal: HealthSignal
    before: Side
    after: Side
    change: float | None
    hours: int
    higher: float | None
    told: Told

    def to_json(self) -> dict[str, Any]:
        """As the API gives it; values in the signal's unit, shares from 0 to 1."""
        sides = {
            name: {"median": side.median, "p95": side.p95, "hours": side.hours}
            for name, side in (("before", self.before), ("after", self.after))
        }
        return {
            "signal": self.signal.name,
            "title": self.signal.title,
            "unit": self.signal.unit,
            **sides,
            "change": self.change,
            "hours": self.hours,
            "higher": self.higher,
            "told": self.told,
        }


def times(started: datetime, ended: datetime, until: datetime, days: int) -> Times:
    """What is compared: from the end of a deployment for so many days, or `until` then, with as long a time before.

    The time before ends before the deployment began: what was under way meanwhile is in neither.
    """
    after = Span(ended, max(ended, min(until, ended + days * DAY)))
    # Whole days, so that the same hours of the day stand side by side; load differs more by hour than by version.
    shift = math.ceil((after.until - started) / DAY) * DAY
    return Times(Span(after.since - shift, after.until - shift), after, shift)


def compare(signal: HealthSignal, before: Sequence[Sample], after: Sequence[Sample], shift: timedelta) -> Change:
    """How a signal moved, by its samples of both times."""
    earlier, later = _by_hour(before, shift), _by_hour(after)
    both = sorted(earlier.keys() & later.keys())
    sides = _side(before, len(earlier)), _side(after, len(later))
    was, now = sides[0].median, sides[1].median
    # From zero there is no share: 0 errors to 1 would be endlessly worse.
    change = (now - was) / abs(was) if was and now is not None else None
    moved = [median(later[hour]) - median(earlier[hour]) for hour in both]
    higher = sum(difference > 0 for difference in moved) / len(both) if both else None
    lower = sum(difference < 0 for difference in moved) / len(both) if both else 0.0
    if higher is None or was is None or now is None or len(both) < FEWEST_HOURS:
        return Change(signal, *sides, change, len(both), higher, "not measured")
    way = 0
    # Both have to hold: that it moved by something that matters, and that it did so in most hours and not once.
    if change is None or abs(change) >= LEAST:
        way = int(now > was and higher >= MOST_HOURS) - int(now < was and lower >= MOST_HOURS)
    return Change(signal, *sides, change, len(both), higher, _told(signal, way))


def _told(signal: HealthSignal, way: int) -> Told:
    """Whether moving that way is good: a limit with `<` is on what must not fall."""
    if way == 0:
        return "about the same"
    falls_is_bad = (signal.critical or signal.warning).lstrip().startswith("<")
    return "worse" if (way > 0) != falls_is_bad else "better"


def _by_hour(samples: Iterable[Sample], shift: timedelta = timedelta()) -> Mapping[int, list[float]]:
    hours: defaultdict[int, list[float]] = defaultdict(list)
    for at, value in samples:
        if math.isfinite(value):
            hours[int((at + shift.total_seconds()) // HOUR)].append(value)
    return hours


def _side(samples: Sequence[Sample], hours: int) -> Side:
    values = [value for _, value in samples if math.isfinite(value)]
    if not values:
        return Side(None, None, 0)
    # Inclusive: the percentile of what was measured, not of a population beyond it, which could pass the maximum.
    high = quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
    return Side(median(values), high, hours)
