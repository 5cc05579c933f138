"""burn_rate: how many times faster than the objective allows its error budget is spent, over two windows.

The budget is what the policy's `objective` leaves: 0.1 % for 99.9 %. The long window says that it matters, the short
one, a twelfth of it, that it goes on; the lower of both counts, so that an alert ends soon after the errors do.
Windows and factors as in "Alerting on SLOs" of the Site Reliability Workbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.quantity import Unit, format_duration
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import HOUR, Derived
from deploywatch.rules.conditions.objectives import Bad
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import AMOUNT, Example, Group, Record, Signal

# The SRE workbook's: a short window of a twelfth ends the alert soon after the trouble has ended.
_SHORT = 12


class BurnRate(Derived):
    """The lower of the burn rates over a window and over a twelfth of it."""

    def __init__(self, written: str, parts: Sequence[Signal], windows: Sequence[timedelta]) -> None:
        (self.long,) = windows
        self.bad = parts[0] if isinstance(parts[0], Bad) else Bad(parts[0])
        self.short = self.long / _SHORT
        spans = f"{format_duration(self.long)} and {format_duration(self.short)}"
        about = f"How fast the error budget of the objective is spent, the lower of {spans}; 1 spends it exactly."
        title = f"burn rate of {self.bad.title} over {format_duration(self.long)}"
        super().__init__(written, parts, title=title, about=about, unit=Unit.COUNT, domain=AMOUNT)
        self.suffix = f"burn_rate{promql.duration(self.long)}"

    def own(self, policy: Policy) -> tuple[Record, ...]:
        long, short = self._over(policy, self.long), self._over(policy, self.short)
        slow, other = promql.recorded(policy, long.name), promql.recorded(policy, short.name)
        # Both have to burn, so the lower counts; PromQL has no minimum of two series.
        lower = f"({slow} <= {other})\nor\n({other} < {slow})"
        return (long, short, Record(self.value(policy), lower, "the lower of both, when both are there", self.group))

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        value, on, calm = self.value(policy), 2 * HOUR, 2 * self.short + policy.window
        # Rates need some samples in a window; for results of probes one will do.
        every = policy.window if self.bad.is_probed else policy.window / 4 // promql.SECOND * promql.SECOND
        share = Decimal("0.5") if self.bad.is_probed else Decimal("0.02")
        rate = promql.number((share / (1 - self.bad.target(policy).value)).quantize(Decimal("0.000001")))
        bad, rest = on // every, calm // every + 9
        return tuple(
            self.example(
                policy,
                name,
                [],
                {value: wanted},
                at=at,
                every=every,
                more=self.bad.failing(policy, *phases, int(share * 100)),
            )
            for name, wanted, at, phases in (
                (f"{promql.number(share * 100)} % fail", rate, on, (bad + 9, 0)),
                ("what failed has ended", "0", on + calm, (bad, rest)),
                ("nothing is asked", None, on, (0, 0)),
            )
        )

    def now(self, policy: Policy) -> str:
        return promql.recorded(policy, self.bad.of.value(policy))

    def _over(self, policy: Policy, window: timedelta) -> Record:
        target, span = self.bad.target(policy), promql.duration(window)
        budget = promql.number(1 - target.value)
        return Record(
            f"{self.of.value(policy)}_burned{span}",
            f"{self.bad.share(policy, span)}\n/\n{budget}",
            f"how many times the budget of {target} was spent over {span}",
            Group.BASELINES,
        )
