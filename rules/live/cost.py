"""What each rule of a policy costs a Prometheus: seconds of an evaluation, and samples that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from deploywatch.prometheus import Prometheus
from deploywatch.rules.resolved import ResolvedPolicy


@dataclass(frozen=True, slots=True)
class RuleCost:
    """The cost of one rule; `samples` is None where the server does not tell.

    `is_loaded` says whether what the rule reads is recorded there: if not, it has nothing to read yet.
    """

    name: str
    seconds: float
    samples: int | None
    is_loaded: bool


async def costs(prometheus: Prometheus, policy: ResolvedPolicy) -> tuple[RuleCost, ...]:
    """Evaluate every rule once, the dearest first; the server may still have what another has just read."""
    names = {record.name for record in policy.records}
    recorded = set(await prometheus.label_values("__name__", of=f'{{policy="{policy.given.policy}"}}'))
    rules = [(record.name, record.expression) for record in policy.records]
    rules += [(alert.given.alert, alert.expression) for alert in policy.alerts]
    expenses = []
    for name, expression in rules:
        reads = {other for other in names if f"{other}{{" in expression}
        # One after the other, so that they are not measured against each other.
        cost = await prometheus.cost(expression)
        expenses.append(RuleCost(name, cost.seconds, cost.samples, reads <= recorded))
    return tuple(sorted(expenses, key=lambda expense: -expense.seconds))
