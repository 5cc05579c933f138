"""burn_rate: how many times faster than the objective allows its error budget is spent, over two windows.

The budget is what the policy's `objective` leaves: 0.1 % for 99.9 %. The long window says that it matters, the short
one, a twelfth of it, that it goes on; the lower of both counts, so that an alert ends soon after the errors do.
Windows and factors as in "Alerting on SLOs" of the Site Reliability Workbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.errors import DeploywatchError
from deploywatch.quantity import Quantity, Unit, format_duration
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import HOUR, Derived
from deploywatch.rules.conditions.view import plain
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.service import availability, error_ratio, health
from deploywatch.rules.signals.signal import AMOUNT, Example, Group, InputSeries, Record, Signal

OF = ("error_ratio", "availability")
"""Signals of which a share is good and the rest is not."""

_SHORT = 12


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
        value, on, calm = self.value(policy), 2 * HOUR, 2 * self.short + policy.window
        # Rates need some samples in a window; for results of probes one will do.
        every = policy.window if self._probed else policy.window / 4 // promql.SECOND * promql.SECOND
        share = Decimal("0.5") if self._probed else Decimal("0.02")
        rate = promql.number((share / (1 - objective(policy).value)).quantize(Decimal("0.000001")))
        bad, rest = on // every, calm // every + 9
        return tuple(
            self.example(policy, name, [], {value: wanted}, at=at, every=every, more=self._failing(policy, *phases))
            for name, wanted, at, phases in (
                (f"{promql.number(share * 100)} % fail", rate, on, (bad + 9, 0)),
                ("what failed has ended", "0", on + calm, (bad, rest)),
                ("nothing is asked", None, on, (0, 0)),
            )
        )

    @property
    def _probed(self) -> bool:
        return plain(self.of).name == availability.SIGNAL.name

    def _over(self, policy: Policy, window: timedelta) -> Record:
        budget, span = promql.number(1 - objective(policy).value), promql.duration(window)
        about = f"how many times the budget of {objective(policy)} was spent over {span}"
        return Record(
            f"{self.of.value(policy)}_burned{span}", f"{self._bad(policy, span)}\n/\n{budget}", about, Group.BASELINES
        )

    def _bad(self, policy: Policy, span: str) -> str:
        """The share that failed; of requests, weighted by how many there were."""
        if self._probed:
            return f"(1 - avg_over_time({self.now(policy)}[{span}]))"
        seen = self.seen(policy)
        errors, every = error_ratio.error_rate(seen), error_ratio.request_rate(seen)
        failed = f"avg_over_time({promql.recorded(policy, errors)}[{span}])"
        return f"({failed} / (avg_over_time({promql.recorded(policy, every)}[{span}]) > 0))"

    def _failing(self, policy: Policy, bad: int, good: int) -> tuple[InputSeries, ...]:
        """Raw series of which 2 in 100 requests, or one of two probes, fail for so many samples, then none."""
        policy = self.seen(policy)
        if self._probed:
            up, down = (health.probe(policy, name, Decimal(1)).series for name in ("a", "b"))
            later = f" 1x{good}" if good else ""
            return (InputSeries(up, f"1x{bad + good}"), InputSeries(down, f"0x{bad}{later}")) if bad else ()
        failing, passing = (error_ratio.counter(policy, failing=one, each=Decimal(1)).series for one in (True, False))
        return (
            InputSeries(failing, f"0+2x{bad} {2 * bad}x{good}"),
            InputSeries(passing, f"0+{98 if bad else 0}x{bad} {98 * bad}+{100 if good else 0}x{good}"),
        )


def objective(policy: Policy) -> Quantity:
    """The policy's objective, which loading it demands where there is a burn rate."""
    if policy.objective is None:
        raise DeploywatchError("a burn rate needs the policy's objective")
    return policy.objective
