"""Recording rules: what the alerts and dashboards of a policy read, each series once."""

from __future__ import annotations

from typing import Any

from deploywatch.conventions import AlertLabel
from deploywatch.rules import promql
from deploywatch.rules.outputs.emit import Remarked
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.signals.signal import Group, Record

# They look back for days, and each evaluation reads all of it.
_SLOWEST = {Group.BASELINES: 60, Group.DELIVERY: 60}
"""Groups that look back for long, and change slowly, are evaluated every so many seconds, or at the interval."""


def groups(policy: ResolvedPolicy) -> dict[str, Any]:
    """The file of recording rules, as data; within a group, rules run in order."""
    there = {record.group for record in policy.records}
    return {"groups": [_group(policy.given, group, policy.records) for group in Group if group in there]}


def group_names(policy: ResolvedPolicy) -> list[str]:
    """The groups, in the order in which one reads what another left."""
    return [group["name"] for group in groups(policy)["groups"]]


def _group(policy: Policy, group: Group, every: tuple[Record, ...]) -> dict[str, Any]:
    slow = _SLOWEST.get(group, 0)
    interval = max(policy.interval, slow * promql.SECOND)
    rules = [
        Remarked(
            (record.about,),
            {
                "record": record.name,
                "expr": record.expression,
                "labels": {**record.labels, AlertLabel.POLICY: policy.policy},
            },
        )
        for record in every
        if record.group is group
    ]
    return {"name": f"{policy.policy}.{group}", "interval": promql.duration(interval), "rules": rules}
