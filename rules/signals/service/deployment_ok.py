"""deployment_ok: 0 while a service's newest deployment is one that failed, else 1."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.conventions import DeploymentMetric
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Deployments
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


class DeploymentOk(Signal):
    """From the receiver's ledger, which keeps some versions of each service; only the newest one's status counts."""

    name = "deployment_ok"
    title = "deployment"
    about = "0 while the newest deployment of the service is one that failed, else 1; no value without a ledger."
    unit = Unit.COUNT
    needs = (Deployments,)
    domain: Domain = YES_NO

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        ledger = policy.series.of(Deployments)
        failed = promql.raw(policy, ledger, matchers=[(ledger.status, "=", "failed")])
        newest = promql.raw(policy, ledger, metric=DeploymentMetric.INFO)
        on = ", ".join(map(promql.name, (*ledger.labels.borne.values(), "version")))
        # Of the newest alone: an older deployment that failed was followed by another.
        together = promql.grouped("min", ledger, f"(1 - {failed}) and on ({on}) {newest} == 1")
        return (Record(self.value(policy), together, "0 when the newest deployment failed"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Deployments).recorded}_ok:min"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (*_deployment(policy, "v2", 1 - value), _newest(policy, "v2"))

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        failed, good = Decimal(1), Decimal(0)
        both = (*_deployment(policy, "v1", failed), *_deployment(policy, "v2", good), _newest(policy, "v2"))
        return (
            Example("an older deployment failed, the newest did not", both, {self.value(policy): Decimal(1)}),
            Example(
                "the newest deployment failed",
                (*_deployment(policy, "v2", failed), _newest(policy, "v2")),
                {self.value(policy): Decimal(0)},
            ),
            Example("there is no ledger", (), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query("How the latest deployments stand", f"{promql.raw(policy, policy.series.of(Deployments))} == 1"),)


def _deployment(policy: Policy, version: str, failed: Decimal) -> tuple[InputSeries, ...]:
    ledger = policy.series.of(Deployments)
    states = {"failed": failed, "succeeded": 1 - failed}
    return tuple(
        steady(policy, promql.sample_series(policy, ledger, version=version, **{ledger.status: state}), value)
        for state, value in states.items()
    )


def _newest(policy: Policy, version: str) -> InputSeries:
    ledger = policy.series.of(Deployments)
    info = promql.sample_series(policy, ledger, metric=DeploymentMetric.INFO, version=version)
    return steady(policy, info, Decimal(1))


SIGNAL = DeploymentOk()
