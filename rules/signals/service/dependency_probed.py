"""dependency_probed: 1 while somebody probes a service that this one depends on, 0 once nobody does any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.inventory import Series
from deploywatch.rules.series.requests import Dependencies, Probes
from deploywatch.rules.signals.service import dependency_up
from deploywatch.rules.signals.service.dependency_up import DEPENDS_ON
from deploywatch.rules.signals.signal import (
    YES_NO,
    Example,
    InputSeries,
    Query,
    Reading,
    Record,
    Signal,
)

REMEMBERED = timedelta(days=1)
"""For how long a dependency that was probed is asked for."""


class DependencyProbed(Signal):
    """A dependency whose probes have vanished is neither up nor down: its state is unknown, and that is said."""

    name = "dependency_probed"
    title = "dependency probed"
    about = (
        "1 while the service that `depends_on` names is probed, 0 for a day once nobody probes it; one value "
        "a dependency."
    )
    unit = Unit.COUNT
    needs = (Dependencies, Probes)
    domain = YES_NO
    labels = (DEPENDS_ON,)

    def unfit(self, series: Series) -> str | None:
        return dependency_up.unfit(series)

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        by = f"by ({SERVICE}, {ENVIRONMENT}, {DEPENDS_ON})"
        on = f"on ({SERVICE}, {ENVIRONMENT}, {DEPENDS_ON})"
        up, now = dependency_up.SIGNAL, promql.recorded(policy, dependency_up.SIGNAL.value(policy))
        earlier = f"last_over_time({now}[{promql.duration(REMEMBERED)}])"
        expression = f"group {by} ({now})\nor\n(group {by} ({earlier}) * 0 and {on} {up.known(policy)})"
        about = "1 while the dependency is probed, 0 once it no longer is"
        return (*up.records(policy, ()), Record(self.value(policy), expression, about))

    def value(self, policy: Policy) -> str:
        return f"{promql.level(DEPENDS_ON)}:{policy.series.of(Dependencies).recorded}_probed:group"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return ()

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        edge, probe = dependency_up.edge(policy), dependency_up.probe(policy, "a", Decimal(1))
        vanished = InputSeries(probe.series, "1x3 stale")
        value = self.value(policy)
        return (
            Example("it is probed", (edge, probe), {value: Decimal(1)}),
            Example("its probe has vanished", (edge, vanished), {value: Decimal(0)}),
            Example("nobody ever probed it", (edge,), {value: None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        edges = policy.series.of(Dependencies)
        return (
            Query("What the service depends on", promql.raw(policy, edges)),
            Query("Which dependencies nobody probes", f"{promql.recorded(policy, self.value(policy))} == 0"),
        )


SIGNAL = DependencyProbed()
