"""What this hour of the day does anyway: how a limit's ratio changed between the same two hours of the last days.

Without a control at the same moments, a version is compared with the hour before it, and a morning's rush looks like a
bad version. So a relative limit is never stricter than the second highest change of the last fourteen days: one strange
day counts for nothing, and days on which something was known to be bad are left out. It lessens what the time of day
does, and does not exclude it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploywatch.verdict.evidence import MOST_TIMES
from deploywatch.verdict.plan_parts import Limit

# Two weeks have each weekday twice; Prometheus keeps 15 days by default.
DAYS: Final = 14
ENOUGH_DAYS: Final = 5
LEAST_BAD: Final = 10
"""Bad requests of the two hours of a day, below which their change is noise, and the day is left out."""
_MOST: Final = MOST_TIMES - 1

Pair = tuple[int, int]
"""Requests, and the bad ones among them."""


@dataclass(frozen=True, slots=True)
class Usual:
    """By how much the hour's ratio changed (1: not at all), the day with the greatest change left out; of so many
    days."""

    times: float
    days: int

    @classmethod
    def read(cls, stored: Mapping[str, float]) -> Usual:
        """As it was stored."""
        return cls(float(stored["times"]), int(stored["days"]))

    @property
    def known(self) -> bool:
        """Whether there were days enough."""
        return self.days >= ENOUGH_DAYS


def change(before: Sequence[Pair], after: Sequence[Pair]) -> float | None:
    """How many times the ratio of the hour before that of the hour after was; None where too little was counted."""
    earlier, later = _summed(before), _summed(after)
    if not earlier[0] or not later[0] or earlier[1] + later[1] < LEAST_BAD:
        return None
    # Half a request more, so that an hour without a bad one divides too.
    return ((later[1] + 0.5) / later[0]) / ((earlier[1] + 0.5) / earlier[0])


def usual(changes: Sequence[float | None]) -> Usual:
    """What the changes of the days come to."""
    known = sorted(change for change in changes if change is not None)
    if len(known) < ENOUGH_DAYS:
        # Too few days to say: then nothing is excused by the hour.
        return Usual(1.0, len(known))
    # The second highest: one strange day is no habit of the hour.
    return Usual(known[-2], len(known))


def allowed(limit: Limit, hour: Usual | None) -> float:
    """How many times the ratio before a version's may be: what the policy says, or what the hour does anyway."""
    if hour is None or not hour.known:
        return limit.limit
    return max(limit.limit, min(hour.times, _MOST))


def said(limit: Limit, hour: Usual | None) -> str:
    """What people should know of it, in words."""
    if hour is None or not hour.known:
        days = hour.days if hour else 0
        return f"what this hour does anyway is not known: {days} of the last {DAYS} days can be compared"
    most = f"it rose to {hour.times:.3g} times or less on {hour.days - 1} of {hour.days} days"
    if hour.times > limit.limit:
        return f"at this hour {most}, so that only more than that counts"
    return f"at this hour {most}"


def _summed(looks: Sequence[Pair]) -> Pair:
    return sum(n for n, _ in looks), sum(x for _, x in looks)
