"""Delivery measured by DORA's five (as of 2026), and the mean time to recovery beside them (B14).

Pure but for `read`. Times are seconds. What is shown always says of how many (`n`); below `ENOUGH` there is no value,
because so few say nothing. Times are medians, as DORA's are; the mean time to recovery is a mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean, median
from typing import Any

from sqlalchemy import Connection, func, select

from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.deployments.failed_deployments import (
    ATTRIBUTED_WITHIN,
    Course,
    Failed,
    attribute,
    failed_deployment,
)
from deploywatch.receiver.incidents import store as incidents
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.store.schema import deployments as ledger_table

# The median of fewer says more about chance than about delivery; the number is shown instead.
ENOUGH = 5
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: its value, None where `n` are too few; `of` says what was counted."""

    value: float | None
    n: int
    of: str

    def to_json(self) -> dict[str, Any]:
        """As the API gives it."""
        return {"value": self.value, "n": self.n, "of": self.of}


@dataclass(frozen=True, slots=True)
class Target:
    """The records of one service in one environment; `known_since` is when its first deployment ever began."""

    service: str
    environment: str
    known_since: datetime
    deployments: Sequence[Deployment]
    incidents: Sequence[Incident]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one service was delivered to one environment, over so many days."""

    service: str
    environment: str
    days: float
    deployments: int
    running: int
    change_lead_time: Measure
    deployment_frequency: Measure
    failed_deployment_recovery_time: Measure
    change_fail_rate: Measure
    deployment_rework_rate: Measure
    mean_time_to_recovery: Measure
    success_rate: Measure
    rollbacks: int
    failed: Sequence[Failed]
    notes: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """As the API gives it: times in seconds, rates from 0 to 1, the frequency by day."""
        return {
            "service": self.service,
            "environment": self.environment,
            "days": self.days,
            "deployments": self.deployments,
            "running": self.running,
            "change_lead_time_seconds": self.change_lead_time.to_json(),
            "deployment_frequency_per_day": self.deployment_frequency.to_json(),
            "failed_deployment_recovery_time_seconds": self.failed_deployment_recovery_time.to_json(),
            "change_fail_rate": self.change_fail_rate.to_json(),
            "deployment_rework_rate": self.deployment_rework_rate.to_json(),
            "mean_time_to_recovery_seconds": self.mean_time_to_recovery.to_json(),
            "success_rate": self.success_rate.to_json(),
            "rollbacks": self.rollbacks,
            "failed": [
                {
                    "deployment": failure.deployment.id,
                    "version": failure.deployment.version,
                    "why": failure.why,
                    "since": failure.since.isoformat(),
                    "recovered": failure.recovered.isoformat() if failure.recovered else None,
                }
                for failure in self.failed
            ],
            "notes": list(self.notes),
        }


def read(
    connection: Connection, since: datetime, service: str | None = None, environment: str | None = None
) -> list[Target]:
    """The records of each service and environment that has a deployment since then."""
    wanted = {"service": service, "environment": environment}
    given = {name: value for name, value in wanted.items() if value is not None}
    columns = (ledger_table.c.service, ledger_table.c.environment)
    query = select(*columns, func.min(ledger_table.c.started_at), func.max(ledger_table.c.started_at))
    query = query.where(*(ledger_table.c[name] == value for name, value in given.items()))
    targets = []
    for name, where, first, last in connection.execute(query.group_by(*columns).order_by(*columns)):
        if last < since:
            continue
        # An incident at the window's beginning may belong to a deployment before it.
        rows = ledger.since(connection, name, where, since - ATTRIBUTED_WITHIN)
        targets.append(Target(name, where, first, rows, incidents.since(connection, name, where, since)))
    return targets


def measure(target: Target, since: datetime, until: datetime) -> Delivery:
    """Measure a target's deployments that began from `since` to `until`, and its incidents that opened then."""
    attributed = attribute(target.deployments, target.incidents)
    rows = [deployment for deployment in target.deployments if since <= deployment.started_at <= until]
    # What still runs may yet fail; a rollback is rework and no change.
    changes = [row for row in rows if row.rollback_of is None and row.status is not Status.RUNNING]
    back = [row for row in rows if row.rollback_of is not None]
    course = Course.of(target.deployments)
    failed = [
        failure for change in changes if (failure := failed_deployment(change, course, attributed.get(change.id, ())))
    ]
    there = [change for change in changes if change.status is not Status.FAILED]
    leads = [lead for change in there if (lead := _lead(change)) is not None]
    fixing = [change for change in changes if change.fixes is not None]
    healed = [
        _seconds(incident.opened_at, incident.resolved_at) for incident in target.incidents if incident.resolved_at
    ]
    recoveries = [_seconds(each.since, each.recovered) for each in failed if each.recovered]
    # Since its first deployment, not since the window's beginning: a service of last week is not delivered "0.1 times a
    # day".
    days = max(1.0, _seconds(max(since, target.known_since), until) / _DAY)
    fine = len(changes) - len(failed)
    return Delivery(
        service=target.service,
        environment=target.environment,
        days=round(days, 1),
        deployments=len(changes),
        running=sum(row.status is Status.RUNNING for row in rows),
        change_lead_time=_middle(leads, "deployments with a commit time"),
        deployment_frequency=Measure(len(there) / days if len(there) >= ENOUGH else None, len(there), "deployments"),
        failed_deployment_recovery_time=_middle(recoveries, "failed deployments that are over"),
        change_fail_rate=_share(len(failed), len(changes), "deployments"),
        deployment_rework_rate=_share(len(fixing) + len(back), len(changes) + len(back), "deployments and rollbacks"),
        mean_time_to_recovery=_mean(healed, "resolved incidents"),
        success_rate=_share(fine, len(changes), "deployments"),
        rollbacks=len(back),
        failed=failed,
        notes=list(_notes(there, leads, failed, target.incidents, attributed)),
    )


def _lead(change: Deployment) -> float | None:
    """From the newest commit to its being deployed; None where that is not known, or a clock is wrong."""
    if change.committed_at is None or change.finished_at is None or change.finished_at < change.committed_at:
        return None
    return _seconds(change.committed_at, change.finished_at)


def _notes(
    there: Sequence[Deployment],
    leads: Sequence[float],
    failed: Sequence[Failed],
    opened: Sequence[Incident],
    attributed: dict[int, list[Incident]],
) -> Iterable[str]:
    if len(leads) < len(there):
        yield f"{len(there) - len(leads)} of {len(there)} deployments have no usable commit time (--commit-time)"
    if lasting := [failure for failure in failed if failure.recovered is None]:
        yield f"{len(lasting)} of {len(failed)} failed deployments are not over"
    others = len(opened) - sum(map(len, attributed.values()))
    if others:
        yield f"{others} of {len(opened)} incidents are not attributed to a deployment"
    if unresolved := sum(incident.resolved_at is None for incident in opened):
        yield f"{unresolved} of {len(opened)} incidents are not resolved"


def _middle(values: Sequence[float], of: str) -> Measure:
    return Measure(median(values) if len(values) >= ENOUGH else None, len(values), of)


def _mean(values: Sequence[float], of: str) -> Measure:
    return Measure(fmean(values) if len(values) >= ENOUGH else None, len(values), of)


def _share(part: int, n: int, of: str) -> Measure:
    return Measure(part / n if n >= ENOUGH else None, n, of)


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
