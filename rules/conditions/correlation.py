"""correlation: Pearson's coefficient of two signals over an hour, from -1 to 1.

Both are recorded only where both are there, so that all of the means are over the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.conditions.deployments import ON
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import Domain, Example, Group, Record, Signal

_EVERY = timedelta(minutes=1)
_AT = timedelta(minutes=110)


class Correlation(Derived):
    """How far two signals go together; no value while one of them stands still."""

    group = Group.BASELINES

    def __init__(self, written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> None:
        first, second = parts
        pair = f"{first.title} and {second.title}"
        about = f"How far {pair} go together over an hour, from -1 to 1; no value while one stands."
        title = f"correlation of {pair}"
        ends = Domain(lowest=Decimal(-1), highest=Decimal(1))
        super().__init__(written, parts, title=title, about=about, unit=Unit.COUNT, domain=ends)
        self.key = f"{first.name}_{second.name}"

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{self.key}:pearson_1h"

    def own(self, policy: Policy) -> tuple[Record, ...]:
        x, y, xy = (f"{promql.level()}:{self.key}:correlated_{word}" for word in ("x", "y", "xy"))
        first, second = (promql.recorded(policy, part.value(policy)) for part in self.parts)
        series = {name: promql.recorded(policy, name) for name in (x, y, xy)}
        mean = {name: f"avg_over_time({text}[1h])" for name, text in series.items()}
        spread = {name: f"stddev_over_time({text}[1h])" for name, text in series.items()}
        together = f"({mean[xy]} - {mean[x]} * {mean[y]})"
        # Rounding leaves a trace of variance in a series that stands still.
        both = f"({spread[x]} * {spread[y]} > 0.000000001 * abs({mean[x]} * {mean[y]}))"
        on = f"\nand {ON}\n"
        return (
            Record(x, f"{first}{on}{second}", "the first, where both are there", self.group),
            Record(y, f"{second}{on}{first}", "the second, where both are there", self.group),
            Record(xy, f"{series[x]}\n* {ON}\n{series[y]}", "their product", self.group),
            Record(self.value(policy), f"clamp(\n{together}\n/\n{both},\n-1, 1)", "Pearson's coefficient", self.group),
        )

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        value = self.value(policy)
        tried = {
            "both rise, one of them with a gap": (["100+1x120", "1+0.25x40 _x5 12.5+0.25x73"], "1"),
            "one rises, the other falls": (["100+1x120", "50-0.25x120"], "-1"),
            "one stands still": (["100+1x120", "1x120"], None),
        }
        return tuple(
            self.example(policy, name, values, {value: wanted}, at=_AT, every=_EVERY)
            for name, (values, wanted) in tried.items()
        )
