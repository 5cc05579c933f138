"""zscore: how far a signal lies from its mean of 24 hours, in standard deviations, whichever way.

Guards: at least ten samples measured, and a deviation of at least 5 % of the mean, so that a series that stood still
does not make every step an anomaly. The last ten minutes are no part of what is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import AMOUNT, Example, Group, Record, Signal

MIN_SAMPLES = 10
"""Samples of 24 hours that there must be for a verdict: the enterprise document's figure."""

# Ten minutes ago, lest a sudden change become part of the mean that it is held against.
_BEFORE = "[1d] offset 10m"
_DEVIATION = "the standard deviation of 24 hours"
_SPACING = timedelta(minutes=10)
_AT = 145 * _SPACING


class ZScore(Derived):
    """Against 24 hours."""

    suffix = "zscore1d"

    def __init__(self, written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> None:
        of = parts[0].title
        about = f"How far {of} lies from its mean of 24 hours, in standard deviations; no value before there is enough."
        super().__init__(written, parts, title=f"z-score of {of}", about=about, unit=Unit.COUNT, domain=AMOUNT)

    def own(self, policy: Policy) -> tuple[Record, ...]:
        name = self.of.value(policy)
        mean, deviation = f"{name}_avg1d", f"{name}_stddev1d"
        # A signal that hardly ever moves has a deviation near 0, and any step would be a hundred of them.
        floor = f"0.05 * abs({promql.recorded(policy, mean)})"
        divisor = f"(\n({promql.recorded(policy, deviation)} > {floor})\nor\n({floor} > 0)\n)"
        enough = f"count_over_time({self.now(policy)}{_BEFORE}) >= {MIN_SAMPLES}"
        distance = f"abs({self.now(policy)} - {promql.recorded(policy, mean)})"
        return (
            Record(mean, f"avg_over_time({self.now(policy)}{_BEFORE})", "the mean of 24 hours", Group.BASELINES),
            Record(deviation, f"stddev_over_time({self.now(policy)}{_BEFORE})", _DEVIATION, Group.BASELINES),
            Record(
                self.value(policy),
                f"{distance}\n/\n{divisor}\nand\n{enough}",
                "standard deviations from the mean, of which one is at least 5 % of the mean",
                self.group,
            ),
        )

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        """144 samples of 24 hours after a gap, so that it does not matter which end of a range is closed."""
        value = self.value(policy)
        tried = {
            "mean 100, deviation 10, now 140": ("_ 90x71 110x71 140", "4"),
            "50 all day, now 60": ("_ 50x143 60", "4"),
            "0 all day": ("_ 0x145", None),
            "only 9 samples": ("_x135 90x8 140", None),
        }
        return tuple(
            self.example(policy, name, values, {value: wanted}, at=_AT, every=_AT, spacing=_SPACING)
            for name, (values, wanted) in tried.items()
        )
