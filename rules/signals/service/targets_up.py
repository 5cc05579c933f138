"""targets_up: how many of a service's targets answer Prometheus, as a share."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Targets
from deploywatch.rules.signals.service import service_up
from deploywatch.rules.signals.signal import SHARE, Example, InputSeries, Query, Reading, Record, Signal


class TargetsUp(Signal):
    """From Prometheus's own `up`; a target that is no longer discovered is in neither number."""

    name = "targets_up"
    title = "targets up"
    about = "The service's targets that answer Prometheus's scrape, as a share of all that are discovered."
    unit = Unit.RATIO
    needs = (Targets,)
    domain = SHARE
    phrase = "{} of its targets"

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        targets = policy.series.of(Targets)
        share = promql.grouped("avg", targets, promql.raw(policy, targets))
        return (Record(self.value(policy), share, "targets that answer, as a share of those that are discovered"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Targets).recorded}:avg"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        whole = {Decimal(0): (0,), Decimal(1): (1,), Decimal("0.5"): (1, 0)}.get(value)
        return (
            () if whole is None else tuple(service_up.target(policy, f"i{n}", Decimal(v)) for n, v in enumerate(whole))
        )

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        up, down = Decimal(1), Decimal(0)
        return (
            Example(
                "one of two targets answers",
                (service_up.target(policy, "a", up), service_up.target(policy, "b", down)),
                {self.value(policy): Decimal("0.5")},
            ),
            Example("all targets are gone from discovery", (), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return service_up.SIGNAL.diagnosis(policy)


SIGNAL = TargetsUp()
