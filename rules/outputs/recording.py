"""Recording rules: what the alerts and dashboards of a policy read, each series once."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from deploywatch.conventions import AlertLabel
from deploywatch.rules import conditions, promql
from deploywatch.rules.comparison import terms
from deploywatch.rules.conditions import deployments, thresholds
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.judgement import delivery, health
from deploywatch.rules.language.expression import Comparison, comparisons, operand
from deploywatch.rules.outputs.emit import Remarked
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals import known
from deploywatch.rules.signals.signal import Group, Record, Signal

_SLOWEST = {Group.BASELINES: 60, Group.DELIVERY: 60}
"""Groups that look back for long, and change slowly, are evaluated every so many seconds, or at the interval."""


def used(policy: Policy) -> Iterator[Comparison]:
    """Every comparison that the policy makes: in its alerts, and in how it judges a deployment's health."""
    for alert in policy.alerts:
        yield from (one.comparison for one in terms(policy, alert))
    if policy.health is not None:
        for text in health.texts(policy.health):
            yield from comparisons(text)


def signals(policy: Policy) -> dict[str, tuple[Signal, tuple[Decimal, ...]]]:
    """The signals that the policy uses, each with its bounds, ascending; in the registry's order, functions last."""
    bounds: dict[str, set[Decimal]] = {}
    found: dict[str, Signal] = {}
    for text in policy.observe:
        signal = conditions.signal(policy, operand(text))
        found.setdefault(signal.name, signal)
        bounds.setdefault(signal.name, set())
    for one in used(policy):
        signal = conditions.signal(policy, one)
        found.setdefault(signal.name, signal)
        bounds.setdefault(signal.name, set()).add(one.quantity.value)
    functions = [name for name, signal in found.items() if isinstance(signal, Derived)]
    plain = [name for name in known(policy.signals) if name in found]
    return {name: (found[name], tuple(sorted(bounds[name]))) for name in (*plain, *functions)}


def records(policy: Policy) -> tuple[Record, ...]:
    """Every recording rule of the policy, group by group, after those that it depends on."""
    found: dict[object, Record] = {}
    for record in _needed(policy):
        found.setdefault((record.name, *sorted(record.labels.items())), record)
    order = list(Group)
    return tuple(sorted(found.values(), key=lambda record: order.index(record.group)))


def groups(policy: Policy) -> dict[str, Any]:
    """The file of recording rules, as data; within a group, rules run in order."""
    every = records(policy)
    return {"groups": [_group(policy, group, every) for group in Group if any(one.group is group for one in every)]}


def group_names(policy: Policy) -> list[str]:
    """The groups, in the order in which one reads what another left."""
    return [group["name"] for group in groups(policy)["groups"]]


def _needed(policy: Policy) -> Iterator[Record]:
    for signal, bounds in signals(policy).values():
        yield from signal.records(policy, bounds)
    for alert in policy.alerts:
        if thresholds.limits(policy, alert):
            yield deployments.age(policy)
            yield thresholds.record(policy, alert)
    if policy.health is not None:
        yield from health.records(policy, policy.health)
    if policy.delivery is not None:
        yield from delivery.records(policy, policy.delivery)


def _group(policy: Policy, group: Group, every: tuple[Record, ...]) -> dict[str, Any]:
    slow = _SLOWEST.get(group, 0)
    interval = max(policy.interval, slow * promql.SECOND)
    rules = [
        Remarked(
            (one.about,),
            {"record": one.name, "expr": one.expression, "labels": {**one.labels, AlertLabel.POLICY: policy.policy}},
        )
        for one in every
        if one.group is group
    ]
    return {"name": f"{policy.policy}.{group}", "interval": promql.duration(interval), "rules": rules}
