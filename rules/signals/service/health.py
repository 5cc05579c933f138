"""health: 1 while a probe of the service succeeds, 0 while it fails; one value a probe."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.conventions import PROBE, ProbeMetric
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Probes
from deploywatch.rules.signals.signal import YES_NO, Example, InputSeries, Query, Reading, Record, Signal, steady


class Health(Signal):
    """From the exporter's probes; where a probe runs from several places, the worst of them counts."""

    name = "health"
    title = "health"
    about = "1 while a probe of the service succeeds, 0 while it fails; one value a probe, named in the label `probe`."
    unit = Unit.COUNT
    needs = (Probes,)
    domain = YES_NO
    labels = (PROBE,)

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        probes = policy.series.of(Probes)
        worst = promql.grouped("min", probes, promql.raw(policy, probes), {PROBE: probes.probe})
        return (Record(self.value(policy), worst, "1 while the probe succeeds, wherever it runs from"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level(PROBE)}:{policy.series.of(Probes).recorded}:min"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (probe(policy, "a", value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        good, bad = Decimal(1), Decimal(0)
        return (
            Example("the probe succeeds", (probe(policy, "a", good),), {self.value(policy): good}),
            Example(
                "the probe fails from one of two places",
                (probe(policy, "a", good), probe(policy, "b", bad)),
                {self.value(policy): bad},
            ),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        probes = policy.series.of(Probes)
        return (
            Query("Which probes fail", f"{promql.raw(policy, probes)} == 0"),
            Query("Why they fail", promql.raw(policy, probes, metric=ProbeMetric.FAILURE_INFO)),
            Query("How long they take", promql.raw(policy, probes, metric=ProbeMetric.DURATION)),
        )


def probe(policy: Policy, instance: str, value: Decimal) -> InputSeries:
    """A raw probe result that stays; the probe is called `sample`."""
    probes = policy.series.of(Probes)
    return steady(policy, promql.sample_series(policy, probes, **{probes.probe: "sample"}, instance=instance), value)


SIGNAL = Health()
