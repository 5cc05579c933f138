"""burn_rate: how many times faster than the objective allows its error budget is spent, over two windows.

The budget is what the policy's `objective` leaves: 0.1 % for 99.9 %. The long window says that it matters, the short
one, a twelfth of it, that it goes on; the lower of both counts, so that an alert ends soon after the errors do.
Windows and factors as in "Alerting on SLOs" of the Site Reliability Workbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from deploywatch.quantity import Unit, format_duration
from rules import promql
from rules.conditions.derived import HOUR, Derived, recorded_name
from rules.policy import Policy
from rules.signals.service import availability, error_ratio
from rules.signals.signal import AMOUNT, Example, Group, InputSeries, Record, Signal

OF = ("error_ratio", "availability")
"""Signals of which a share is good and the rest is not."""

_SHORT = 12
_EVERY = timedelta(minutes=5)


class BurnRate(Derived):
    """The lower of the burn rates over a window and over a twelfth of it."""

    def __init__(self, written: str, parts: Sequence[Signal], windows: Sequence[timedelta]) -> None:
        (self.long,) = windows
        self.short = self.long / _SHORT
        said = f"{format_duration(self.long)} and {format_duration(self.short)}"
        about = f"How fast the error budget of the objective is spent, the lower of {said}; 1 spends it exactly."
        title = f"burn rate over {format_duration(self.long)}"
        super().__init__(written, parts, title=title, about=about, unit=Unit.COUNT, domain=AMOUNT)
        self.suffix = f"burn_rate{promql.duration(self.long)}"

    def own(self, policy: Policy) -> tuple[Record, ...]:
        long, short = self._over(policy, self.long), self._over(policy, self.short)
        one, other = promql.recorded(policy, long.name), promql.recorded(policy, short.name)
        lower = f"({one} <= {other})\nor\n({other} < {one})"
        return (long, short, Record(self.value(policy), lower, "the lower of both, when both are there", self.group))

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        value, on, calm = self.value(policy), 2 * HOUR, 2 * self.short
        two = self._failing(policy, 2)
        ended = [
            InputSeries(one.series, f"{_steady(one.values)}x{on // _EVERY} {rest}x{calm // _EVERY + 9}")
            for one, rest in zip(two, self._good(policy), strict=True)
        ]
        still = [InputSeries(one.series, "_x40") for one in two]
        objective = policy.objective
        assert objective is not None  # noqa: S101 - loading a policy refuses a burn rate without one
        rate = promql.number(2 / (100 * (1 - objective.value)))
        return (
            self._example(policy, "2 of 100 fail", two, {value: rate}, on),
            self._example(policy, "what failed has ended", ended, {value: "0"}, on + calm),
            self._example(policy, "nothing is asked", still, {value: None}, on),
        )

    def _example(
        self, policy: Policy, name: str, inputs: Sequence[InputSeries], expected: dict[str, str | None], at: timedelta
    ) -> Example:
        return self.example(policy, name, [], expected, at=at, every=_EVERY, more=inputs)

    def _over(self, policy: Policy, window: timedelta) -> Record:
        objective = policy.objective
        assert objective is not None  # noqa: S101 - loading a policy refuses a burn rate without one
        budget, span = promql.number(1 - objective.value), promql.duration(window)
        about = f"how many times the budget of {objective} was spent over {span}"
        return Record(
            f"{self.of.value(policy)}_burned{span}", f"{self._bad(policy, span)}\n/\n{budget}", about, Group.BASELINES
        )

    def _bad(self, policy: Policy, span: str) -> str:
        """The share that failed; of requests, weighted by how many there were."""
        if self.of.name == availability.SIGNAL.name:
            return f"(1 - avg_over_time({self.now(policy)}[{span}]))"
        errors, every = error_ratio.error_rate(policy), error_ratio.request_rate(policy)
        failed = f"avg_over_time({promql.recorded(policy, errors)}[{span}])"
        return f"({failed} / (avg_over_time({promql.recorded(policy, every)}[{span}]) > 0))"

    def _failing(self, policy: Policy, percent: int) -> tuple[InputSeries, ...]:
        """Recorded series of which so many in a hundred fail, for three hours."""
        if self.of.name == availability.SIGNAL.name:
            return (InputSeries(recorded_name(policy, self.of.value(policy)), f"{(100 - percent) / 100}x36"),)
        return (
            InputSeries(recorded_name(policy, error_ratio.error_rate(policy)), f"{percent}x36"),
            InputSeries(recorded_name(policy, error_ratio.request_rate(policy)), "100x36"),
        )

    def _good(self, policy: Policy) -> tuple[str, ...]:
        return ("1",) if self.of.name == availability.SIGNAL.name else ("0", "100")


def _steady(values: str) -> str:
    return values.partition("x")[0]
