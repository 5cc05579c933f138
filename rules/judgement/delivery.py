"""Figures of delivery as recording rules: how often, how well and how fast, and how soon the service recovers.

From the receiver's ledger, which shows the newest versions of a service, and from its open incidents. The time to
recovery is the time that incidents were open, all together, divided by how many began.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from deploywatch.conventions import ENVIRONMENT, SERVICE, DeploymentMetric, IncidentMetric
from deploywatch.rules import promql
from deploywatch.rules.conditions.deployments import held
from deploywatch.rules.language.judgement import Delivery
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import Group, Record, seconds

BY = f"by ({SERVICE}, {ENVIRONMENT})"
NEWEST = f"{promql.level()}:deployment_started_timestamp_seconds:max"
# The largest of all replicas, and no sum over them: each shows the same store.
OPEN = f"{promql.level()}:incidents_open:sum"


def records(policy: Policy, figures: Delivery) -> Iterator[Record]:
    """All figures, in order of dependency."""
    over, level = promql.duration(figures.over), promql.level()
    started, finished = held(policy, DeploymentMetric.STARTED), held(policy, DeploymentMetric.FINISHED)
    ended = _standing(policy, "succeeded|failed|rolled_back")
    newest, opened = promql.recorded(policy, NEWEST), promql.recorded(policy, OPEN)
    begun = f"sum_over_time({promql.recorded(policy, f'{level}:incidents_opened:new')}[{over}])"
    yield _record(NEWEST, f"max {BY} ({started})", "when the newest deployment began")
    yield _record(f"{level}:deployments:changes{over}", f"changes({newest}[{over}])", f"deployments within {over}")
    yield _record(
        f"{level}:deployments:success_ratio",
        f"{_standing(policy, 'succeeded')}\n/\n({ended} > 0)",
        "deployments that succeeded, of those that ended, among the versions that the ledger shows",
    )
    yield _record(
        f"{level}:deployments:rollback_ratio",
        f"{_standing(policy, 'rolled_back')}\n/\n({ended} > 0)",
        "deployments that were rolled back, of those that ended",
    )
    yield _record(
        f"{level}:deployment_duration_seconds:avg",
        f"avg {BY} ({finished} - {started} >= 0)",
        "how long a deployment took, from its start to its end",
    )
    yield _record(
        OPEN,
        f"sum {BY} (max by ({SERVICE}, {ENVIRONMENT}, severity) ({held(policy, IncidentMetric.OPEN)}))",
        "open incidents of any severity, the same on every replica of the receiver",
    )
    yield _record(
        f"{level}:incidents_opened:new",
        f"clamp_min({opened} - ({opened} offset {promql.duration(interval(policy))}), 0)",
        "incidents that began since the evaluation before",
    )
    yield _record(
        f"{level}:recovery_seconds:mean{over}",
        f"sum_over_time({opened}[{over}]) * {promql.number(seconds(interval(policy)))}\n/\n({begun} > 0)",
        "how many seconds an incident lasted; one that began earlier, and lasts, makes it longer",
    )


# Deployments and incidents do not change faster than people act: a minute is enough, and costs less.
def interval(policy: Policy) -> timedelta:
    """How often the figures are evaluated: every minute, or at the policy's interval where that is longer."""
    return max(policy.interval, 60 * promql.SECOND)


def _standing(policy: Policy, status: str) -> str:
    return f"sum {BY} ({held(policy, DeploymentMetric.STATUS, ('status', '=~', status))})"


def _record(name: str, expression: str, about: str) -> Record:
    return Record(name, expression, about, Group.DELIVERY)
