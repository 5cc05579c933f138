"""availability: successful probe results as a share of all."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Probes
from deploywatch.rules.signals.service import health
from deploywatch.rules.signals.signal import SHARE, Example, InputSeries, Query, Reading, Record, Signal


class Availability(Signal):
    """What a user outside would see; no value while nothing probes."""

    name = "availability"
    title = "availability"
    about = "Successful probe results as a share of all, over the policy's window; no value while nothing probes."
    unit = Unit.RATIO
    needs = (Probes,)
    domain = SHARE

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        probes, window = policy.series.of(Probes), promql.duration(policy.window)
        results = f"{promql.raw(policy, probes)}[{window}]"
        good = promql.grouped("sum", probes, f"sum_over_time({results})")
        every = promql.grouped("sum", probes, f"count_over_time({results})")
        return (Record(self.value(policy), f"{good}\n/\n{every}", "successful probe results as a share of all"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Probes).recorded}:ratio_{promql.duration(policy.window)}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (health.probe(policy, "a", value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        good, bad = health.probe(policy, "a", Decimal(1)), health.probe(policy, "b", Decimal(0))
        return (
            Example("one of two probes fails", (good, bad), {self.value(policy): Decimal("0.5")}),
            Example("nothing probes", (), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return health.SIGNAL.diagnosis(policy)


SIGNAL = Availability()
