"""Assessments as the store keeps them: a row each, numbered from 1; and the baselines that were learned for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.jobs.job import NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.store import insert_new
from deploywatch.receiver.store.deployment_schema import deployment_assessments, deployment_baselines

KIND = "assess_deployment"
"""The job that assesses one deployment again and again."""
# A whole day's load has been over it by then.
WATCHED_FOR = timedelta(hours=24)
"""So long after its end a deployment is assessed: the enterprise document's figure."""
NO_MEASUREMENT, LOW_COVERAGE, NOT_WEIGHED = "no_measurement", "coverage", "not_weighed"
COUNTED = (
    *((status, "") for status in ("healthy", "warning", "critical")),
    *(("unknown", reason) for reason in (NO_MEASUREMENT, LOW_COVERAGE, NOT_WEIGHED)),
)
"""Every status with every reason that it can have, so that each is counted from 0."""


@dataclass(frozen=True, slots=True)
class StoredAssessment:
    """One assessment; `details` has signals, kinds, anomalies, recommendations, what was not measured, confidence."""

    deployment_id: int
    number: int
    at: datetime
    phase: str
    status: str
    score: float | None
    coverage: float
    impact: float | None
    impact_estimated: bool
    confidence: float
    problem: str
    details: Mapping[str, Any]
    next_seconds: float

    def to_json(self) -> dict[str, Any]:
        """As the API gives it; `next_seconds` after `at` it is assessed again."""
        return {
            "deployment": self.deployment_id,
            "number": self.number,
            "at": self.at.isoformat(),
            "phase": self.phase,
            "status": self.status,
            "score": self.score,
            "coverage": self.coverage,
            "impact": self.impact,
            "impact_estimated": self.impact_estimated,
            "problem": self.problem,
            "next_seconds": self.next_seconds,
            **self.details,
        }


@dataclass(frozen=True, slots=True)
class StoredBaseline:
    """What was usual for a recorded series; `hours` by hour of the week: median, MAD, samples, weeks.

    `left_out` are the times that were not learned from: what happened, since, until. Where nothing was learned,
    `problem` says why.
    """

    series: str
    hours: Mapping[int, tuple[float, float, int, int]]
    left_out: Sequence[tuple[str, datetime, datetime]]
    problem: str


def queue(connection: Connection, deployment: Deployment, now: datetime) -> None:
    """Have a deployment assessed from now on; one that is over for a day, and a rollback, is not."""
    ended = deployment.finished_at
    # What was rolled back to is what was there before, and has its own assessments.
    if deployment.rollback_of is not None or now - (ended or deployment.started_at) >= WATCHED_FOR:
        return
    name = f"{KIND}:{deployment.id}"
    # A pipeline's clock may be ahead of ours.
    at = max(now, deployment.started_at)
    job = NewJob(kind=KIND, key=name, serial_key=name, run_at=at, payload={"deployment": deployment.id})
    enqueue(connection, now, job)


def add(connection: Connection, assessment: StoredAssessment) -> bool:
    """Store an assessment; False where another replica has stored this number, which then stays as it is."""
    row = {name: getattr(assessment, name) for name in StoredAssessment.__dataclass_fields__}
    return insert_new(connection, deployment_assessments, [row | {"details": dict(assessment.details)}]) == 1


def newest(connection: Connection, deployment_id: int) -> StoredAssessment | None:
    """The newest assessment of a deployment; None before the first."""
    stored = recent(connection, deployment_id, limit=1)
    return stored[0] if stored else None


def recent(connection: Connection, deployment_id: int, *, limit: int) -> list[StoredAssessment]:
    """The newest assessments of a deployment, the newest first."""
    query = select(deployment_assessments).where(deployment_assessments.c.deployment_id == deployment_id)
    # By number and not by time: a clock that was set back would change the order.
    rows = connection.execute(query.order_by(deployment_assessments.c.number.desc()).limit(limit)).mappings()
    return [_assessment(row) for row in rows]


def statuses(connection: Connection, deployment_id: int) -> list[str]:
    """The status of every assessment of a deployment, the oldest first."""
    query = select(deployment_assessments.c.status).where(deployment_assessments.c.deployment_id == deployment_id)
    return [str(status) for status in connection.execute(query.order_by(deployment_assessments.c.number)).scalars()]


def without_source(connection: Connection, deployment_id: int) -> int:
    """How many assessments of a deployment had no answer of Prometheus."""
    query = select(func.count()).where(
        deployment_assessments.c.deployment_id == deployment_id, deployment_assessments.c.problem != ""
    )
    return connection.execute(query).scalar() or 0


def away(connection: Connection, deployment_id: int) -> int:
    """How many of the newest assessments running had no answer of Prometheus."""
    table = deployment_assessments
    answered = select(func.coalesce(func.max(table.c.number), 0)).where(
        table.c.deployment_id == deployment_id, table.c.problem == ""
    )
    query = select(func.count()).where(
        # Those since the last answer: a source that was away and is back counts as there.
        table.c.deployment_id == deployment_id,
        table.c.number > answered.scalar_subquery(),
    )
    return connection.execute(query).scalar() or 0


def keep_baselines(
    connection: Connection, deployment_id: int, learned: Sequence[StoredBaseline], now: datetime
) -> None:
    """Store what was learned; what is there already stays."""
    rows = [
        {
            "deployment_id": deployment_id,
            "series": baseline.series,
            "hours": {str(hour): list(usual) for hour, usual in baseline.hours.items()},
            "left_out": [[what, since.isoformat(), until.isoformat()] for what, since, until in baseline.left_out],
            "problem": baseline.problem,
            "learned_at": now,
        }
        for baseline in learned
    ]
    insert_new(connection, deployment_baselines, rows)


def baselines(connection: Connection, deployment_id: int) -> dict[str, StoredBaseline]:
    """What was learned for a deployment, by recorded series."""
    query = select(deployment_baselines).where(deployment_baselines.c.deployment_id == deployment_id)
    return {row["series"]: _baseline(row) for row in connection.execute(query).mappings()}


def _assessment(row: RowMapping) -> StoredAssessment:
    return StoredAssessment(**row)


def _baseline(row: RowMapping) -> StoredBaseline:
    return StoredBaseline(
        row["series"],
        {int(hour): (middle, mad, samples, weeks) for hour, (middle, mad, samples, weeks) in row["hours"].items()},
        [
            (what, datetime.fromisoformat(since), datetime.fromisoformat(until))
            for what, since, until in row["left_out"]
        ],
        row["problem"],
    )
