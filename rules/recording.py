"""Recording rules: what the alerts and dashboards of a policy read, each series once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rules import promql
from rules.emit import Remarked
from rules.policy import Policy
from rules.signals import SIGNALS
from rules.signals.signal import Record, Signal
from rules.terms import terms


def signals(policy: Policy) -> dict[str, tuple[Signal, tuple[Decimal, ...]]]:
    """The signals that the alerts use, each with its bounds, ascending; in the registry's order."""
    bounds: dict[str, set[Decimal]] = {}
    for alert in policy.alerts:
        for one in terms(policy, alert):
            bounds.setdefault(one.signal.name, set()).add(one.comparison.quantity.value)
    return {name: (SIGNALS[name], tuple(sorted(bounds[name]))) for name in SIGNALS if name in bounds}


def records(policy: Policy) -> tuple[Record, ...]:
    """Every recording rule of the policy, after those that it depends on."""
    found: dict[str, Record] = {}
    for signal, bounds in signals(policy).values():
        for record in signal.records(policy, bounds):
            found.setdefault(record.name, record)
    return tuple(found.values())


def groups(policy: Policy) -> dict[str, Any]:
    """The file of recording rules, as data. One group: its rules run in order."""
    rules = [
        Remarked(
            (record.about,),
            {"record": record.name, "expr": record.expression, "labels": {"policy": policy.policy}},
        )
        for record in records(policy)
    ]
    group = {"name": f"{policy.policy}.recording", "interval": promql.duration(policy.interval), "rules": rules}
    return {"groups": [group]}
