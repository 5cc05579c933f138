"""seasonal_rise, seasonal_drop: how a signal changed against the same hour of the week, the median of four weeks.

The median lets one week with an incident pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import HOUR, Derived
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import Domain, Example, Group, Record, Signal

# One holiday among four weeks does not move the median.
WEEKS = 4
_AT = timedelta(weeks=WEEKS, hours=3)


class Seasonal(Derived):
    """Against what is usual at this hour."""

    def __init__(self, written: str, parts: Sequence[Signal], how: str) -> None:
        of, self.how, self.suffix = parts[0], how, f"seasonal_{how}"
        verb, domain = {
            "rise": ("more", Domain(lowest=Decimal(-1))),
            "drop": ("less", Domain(lowest=None, highest=Decimal(1))),
        }[how]
        about = f"How much {verb} {of.title} is than the median of the same hour in the last {WEEKS} weeks, as a share."
        super().__init__(
            written, parts, title=f"seasonal {how} of {of.title}", about=about, unit=Unit.RATIO, domain=domain
        )

    def own(self, policy: Policy) -> tuple[Record, ...]:
        usual = usual_record(self.of, policy)
        # A share of nothing is no number.
        was = f"({promql.recorded(policy, usual.name)} > 0)"
        change = f"{self.now(policy)}\n/\n{was}\n-\n1" if self.how == "rise" else f"1\n-\n{self.now(policy)}\n/\n{was}"
        return (
            usual,
            Record(self.value(policy), change, f"{self.title}, as a share", self.group),
        )

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        """Three good weeks around one with an incident; a service that is younger than a week."""
        value, week = self.value(policy), 7 * 24
        weeks = f"100x{2 * week - 1} 5x{week - 1} 100x{week - 1} 80x60"
        wanted = {"rise": "-0.2", "drop": "0.2"}[self.how]
        return tuple(
            self.example(policy, name, values, {value: change}, at=_AT, every=_AT, spacing=HOUR)
            for name, values, change in (
                ("80 where 100 is usual", weeks, wanted),
                ("nothing is usual yet", f"_x{4 * week - 20} 7x60", None),
            )
        )


def usual_record(of: Signal, policy: Policy) -> Record:
    """What is usual now: the mean of the hour around this moment in each of the last weeks, and of these the median."""
    looks = []
    for week in range(1, WEEKS + 1):
        # Half an hour to either side of now, as a mean over one hour reaches back only.
        offset = promql.duration(timedelta(weeks=week) - HOUR / 2)
        mean = f"avg_over_time({promql.recorded(policy, of.value(policy))}[1h] offset {offset})"
        looks.append(f'label_replace({mean}, "look_back", "{week}w", "", "")')
    median = "quantile without (look_back) (0.5,\n" + "\nor\n".join(looks) + "\n)"
    about = f"{of.title} at this hour of the week, the median of {WEEKS} weeks"
    return Record(f"{of.value(policy)}_seasonal{WEEKS}w", median, about, Group.BASELINES)


def rise(written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> Signal:
    """By how much more than usual, as a share."""
    return Seasonal(written, parts, "rise")


def drop(written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> Signal:
    """By how much less than usual, as a share."""
    return Seasonal(written, parts, "drop")
