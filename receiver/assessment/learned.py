"""What is usual for a signal, learned: median and MAD of each hour of the week over four weeks; pure.

What was no usual time is left out, since we know it: deployments until an hour after their end, and incidents.
Hours are UTC. A value is told from what is usual by how many deviations it lies from the median; one deviation is
1.4826 MAD (of normally spread values, the standard deviation), and at least 5 % of the median, and of the signal's
limit, so that a signal that stood still for weeks does not make every step an anomaly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from statistics import median

from deploywatch.receiver.assessment.measured import Degree

# Long enough for each hour of the week four times, short enough that last season is forgotten.
WEEKS = 4
SPAN = timedelta(weeks=WEEKS)
STEP = timedelta(minutes=5)
# Caches fill and pools warm up: that is usual after deployments and at no hour of the week.
AFTER_A_DEPLOYMENT = timedelta(hours=1)
# Of one week alone nobody knows whether it was a usual one.
LEAST_SAMPLES, LEAST_WEEKS = 10, 2
"""One week alone is not what is usual; ten points are the enterprise document's least."""
MEDIUM, HIGH = 3.0, 4.0
"""Deviations of a medium and of a high anomaly: the document's figures."""
HOURS = 7 * 24
MOST_NAMED = 5
"""What happened in a time that is left out is named up to so many times."""
# For normal values, 1.4826 times the median absolute deviation is the standard deviation. At least 5 % of the median or
# of the limit, since a signal that hardly moves would else call every ripple an anomaly.
_OF_NORMAL, _LEAST = 1.4826, 0.05
_WEEK_SECONDS = 7 * 86400


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A time that is not learned from, from `since` until before `until`, and what happened then."""

    what: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual in one hour of the week: median and MAD of so many samples from so many weeks."""

    median: float
    mad: float
    samples: int
    weeks: int

    @property
    def enough(self) -> bool:
        """Whether that is enough to call anything unusual."""
        return self.samples >= LEAST_SAMPLES and self.weeks >= LEAST_WEEKS

    def deviation(self, bound: float = 0.0) -> float:
        """One deviation, in the signal's unit; 0 where nothing says how large it is."""
        # The median and the MAD, not mean and deviation: one outage in four weeks must not widen the band.
        return max(_OF_NORMAL * self.mad, _LEAST * abs(self.median), _LEAST * abs(bound))

    def band(self, bound: float = 0.0) -> tuple[float, float]:
        """Between these values nothing is unusual."""
        width = MEDIUM * self.deviation(bound)
        return self.median - width, self.median + width


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a value lies from what is usual, in deviations; `degree` is None while that is no anomaly."""

    usual: Usual
    value: float
    deviations: float

    @property
    def degree(self) -> Degree | None:
        """Medium above 3 deviations, high above 4."""
        if self.deviations > HIGH:
            return Degree.HIGH
        return Degree.MEDIUM if self.deviations > MEDIUM else None


def hour_of_week(at: datetime) -> int:
    """From 0, Monday's first hour, to 167; in UTC."""
    utc = at.astimezone(UTC)
    # In UTC, so that no hour is there twice when the clocks are changed; it is off by an hour then, for some weeks.
    return utc.weekday() * 24 + utc.hour


def learn(samples: Iterable[tuple[float, float]], left_out: Sequence[LeftOut], until: datetime) -> dict[int, Usual]:
    """What is usual by hour of the week, from (Unix time, value) within four weeks before `until`; NaN is no value."""
    values: dict[int, list[float]] = defaultdict(list)
    weeks: dict[int, set[int]] = defaultdict(set)
    apart = merged(left_out)
    begins = [period.since.timestamp() for period in apart]
    ends = [period.until.timestamp() for period in apart]
    for at, value in samples:
        moment, before = datetime.fromtimestamp(at, UTC), bisect_right(begins, at)
        # Merged spans do not overlap, so only the one that began last can hold it.
        left = before > 0 and at < ends[before - 1]
        if left or not isfinite(value) or not until - SPAN <= moment < until:
            continue
        hour = hour_of_week(moment)
        values[hour].append(value)
        # Ten samples of one hour are one observation of what is usual, not ten.
        weeks[hour].add(int(at // _WEEK_SECONDS))
    return {hour: _usual(seen, len(weeks[hour])) for hour, seen in values.items()}


def merged(left_out: Sequence[LeftOut]) -> list[LeftOut]:
    """The same times as spans that do not touch, in their order; each says what happened, or how much more did."""
    spans: list[tuple[list[str], datetime, datetime]] = []
    for period in sorted(left_out, key=lambda span: (span.since, span.until)):
        if spans and period.since <= spans[-1][2]:
            whats, since, until = spans[-1]
            spans[-1] = ([*whats, period.what], since, max(until, period.until))
        else:
            spans.append(([period.what], period.since, period.until))
    return [LeftOut(_all_of(whats), since, until) for whats, since, until in spans]


def compare(usual: Mapping[int, Usual], at: datetime, value: float | None, bound: float = 0.0) -> Deviation | None:
    """A value beside what is usual at this hour of the week; None where nobody can tell."""
    known = usual.get(hour_of_week(at))
    if known is None or value is None or not isfinite(value) or not known.enough:
        return None
    deviation = known.deviation(bound)
    return Deviation(known, value, abs(value - known.median) / deviation) if deviation > 0 else None


def _all_of(whats: Sequence[str]) -> str:
    more = len(whats) - MOST_NAMED
    return ", ".join(whats[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _usual(values: Sequence[float], weeks: int) -> Usual:
    middle = median(values)
    return Usual(middle, median(abs(value - middle) for value in values), len(values), weeks)
