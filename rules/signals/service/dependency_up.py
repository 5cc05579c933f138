"""dependency_up: 1 while a service that this one depends on is well, else 0; one value a dependency."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.inventory import Series
from deploywatch.rules.series.requests import Dependencies, Probes
from deploywatch.rules.signals.signal import (
    YES_NO,
    Domain,
    Example,
    InputSeries,
    Query,
    Reading,
    Record,
    Signal,
    steady,
)

DEPENDS_ON = "depends_on"
_OTHER = "sample"
"""The dependency of the example bears the value that every further label has in tests."""


class DependencyUp(Signal):
    """A dependency is down when none of its own probes succeeds; what it depends on in turn has its own value."""

    name = "dependency_up"
    title = "dependency up"
    about = (
        "1 while a probe of the service that `depends_on` names succeeds, 0 while none does; one value a dependency."
    )
    unit = Unit.COUNT
    needs = (Dependencies, Probes)
    domain: Domain = YES_NO
    labels = (DEPENDS_ON,)

    def unfit(self, series: Series) -> str | None:
        return unfit(series)

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        probes, known = policy.series.of(Probes), self.known(policy)
        # The dependency may be a service that the policy does not hold for, so only its environment is chosen.
        states = promql.grouped("max", probes, promql.raw(policy, probes, without=[SERVICE]))
        renamed = f'label_replace({states}, "{DEPENDS_ON}", "$1", "{SERVICE}", "(.*)")'
        on = f"{DEPENDS_ON}, {ENVIRONMENT}"
        # One probe that succeeds is enough: the others may look from where the network is broken.
        named = f"max by ({on}) ({renamed})"
        return (
            Record(
                self.value(policy), f"{known}\n* on ({on}) group_left ()\n{named}", "1 while the dependency is well"
            ),
        )

    def known(self, policy: Policy) -> str:
        """PromQL: 1 for each dependency of each service."""
        edges = policy.series.of(Dependencies)
        return promql.grouped("group", edges, promql.raw(policy, edges), {DEPENDS_ON: edges.depends_on})

    def value(self, policy: Policy) -> str:
        return f"{promql.level(DEPENDS_ON)}:{policy.series.of(Dependencies).recorded}_up:max"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (edge(policy), probe(policy, "a", value))

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        up, down = Decimal(1), Decimal(0)
        return (
            Example(
                "one of the dependency's two probes fails",
                (edge(policy), probe(policy, "a", up), probe(policy, "b", down)),
                {self.value(policy): up},
            ),
            Example("its only probe fails", (edge(policy), probe(policy, "a", down)), {self.value(policy): down}),
            Example("nobody probes the dependency", (edge(policy),), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        edges = policy.series.of(Dependencies)
        return (
            Query("What the service depends on", promql.raw(policy, edges)),
            Query("Which dependencies are down", f"{promql.recorded(policy, self.value(policy))} == 0"),
            Query("What the probes of its dependencies say", self._probes(policy)),
        )

    def _probes(self, policy: Policy) -> str:
        """PromQL: each probe of each dependency, which bears the dependency's own name as its service."""
        probes = policy.series.of(Probes)
        states = promql.grouped(
            "max", probes, promql.raw(policy, probes, without=[SERVICE]), {probes.probe: probes.probe}
        )
        named = f'label_replace({self.known(policy)}, "{SERVICE}", "$1", "{DEPENDS_ON}", "(.*)")'
        return f"{states}\nand on ({SERVICE}, {ENVIRONMENT})\n{named}"


def unfit(series: Series) -> str | None:
    """Why a dependency cannot be found among the probes; None where it can."""
    own = series.of(Probes).labels.constant.get(SERVICE)
    return f"the probes are always {own}'s own, and none is a dependency's; name their label" if own else None


def edge(policy: Policy) -> InputSeries:
    """That the example's service depends on another."""
    edges = policy.series.of(Dependencies)
    return steady(policy, promql.sample_series(policy, edges, **{edges.depends_on: _OTHER}), Decimal(1))


def probe(policy: Policy, name: str, value: Decimal) -> InputSeries:
    """One probe of the example's dependency, which succeeds (1) or fails (0)."""
    probes = policy.series.of(Probes)
    labels = {probes.labels.borne[SERVICE]: _OTHER, probes.probe: name}
    return steady(policy, promql.sample_series(policy, probes, **labels), value)


SIGNAL = DependencyUp()
