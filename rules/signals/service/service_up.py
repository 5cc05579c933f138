"""service_up: 1 while at least one of the service's targets answers Prometheus, else 0."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Targets
from deploywatch.rules.signals.signal import YES_NO, Example, InputSeries, Query, Reading, Record, Signal, steady


class ServiceUp(Signal):
    """From Prometheus's own `up`; one answering target of several keeps a service up."""

    name = "service_up"
    title = "service up"
    about = "1 while at least one of the service's targets answers Prometheus's scrape, 0 when none does."
    unit = Unit.COUNT
    needs = (Targets,)
    domain = YES_NO

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        targets = policy.series.of(Targets)
        every = promql.raw(policy, targets)
        return (Record(self.value(policy), promql.grouped("max", targets, every), "1 while any target answers"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Targets).recorded}:max"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (target(policy, "a", value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        up, down = Decimal(1), Decimal(0)
        return (
            Example(
                "one of two targets answers",
                (target(policy, "a", up), target(policy, "b", down)),
                {self.value(policy): up},
            ),
            Example(
                "neither target answers",
                (target(policy, "a", down), target(policy, "b", down)),
                {self.value(policy): down},
            ),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        targets = policy.series.of(Targets)
        return (
            Query("Which targets do not answer", f"{promql.raw(policy, targets)} == 0"),
            Query("How long it took to scrape them", promql.raw(policy, targets, metric="scrape_duration_seconds")),
        )


def target(policy: Policy, instance: str, value: Decimal) -> InputSeries:
    """One target of the example that the policy holds for, which answers (1) or does not (0)."""
    return steady(policy, promql.sample_series(policy, policy.series.of(Targets), instance=instance), value)


SIGNAL = ServiceUp()
