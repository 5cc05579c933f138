"""The ledger of deployments: a row when one starts, its result when it finishes, and rollbacks as rows of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, bindparam, exists, or_, select, update

from deploywatch.receiver.messages import DeploymentView
from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.engine import unit_of_work
from deploywatch.receiver.store.schema import deployments, rollbacks

# Built once, because every message needs it.
_BEFORE = (
    select(deployments)
    .where(
        deployments.c.service == bindparam("of_service"),
        deployments.c.environment == bindparam("of_environment"),
        deployments.c.started_at <= bindparam("moment"),
        deployments.c.rollback_of.is_(None),
    )
    .order_by(deployments.c.started_at.desc(), deployments.c.id.desc())
    .limit(1)
)


BAD = "roll_back"
"""The verdict on a version to which nothing goes back."""
REFUTED = "refuted"
"""What watching showed of a version that was no success: nothing goes back to it either."""
_TRIED = exists().where(rollbacks.c.deployment_id == deployments.c.id)
_LOOK_BACK = 200
LATEST = 20
"""Deployments of a target that those look at who ask what an incident may come from."""


class Status(StrEnum):
    """How a deployment stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment; `previous_version` is what ran with success before it, `rollback_of` what it undoes.

    `artifact` is what was deployed, `committed_at` when the newest change in it was committed, where that is known.
    `fixes` is the incident that it is meant to end. `verdict` is the last one that decided, `promote`, `roll_back` or
    `accepted` by a person, and `judged_at` its time. `success` is what its watching showed: `validated`, `refuted` or
    `unproven`, None until that is known, and `success_why` says why.
    """

    id: int
    service: str
    environment: str
    version: str
    previous_version: str | None
    strategy: str
    deployer: str
    ports: tuple[int, ...]
    status: Status
    started_at: datetime
    finished_at: datetime | None
    rollback_of: int | None
    artifact: str = ""
    committed_at: datetime | None = None
    fixes: int | None = None
    verdict: str | None = None
    judged_at: datetime | None = None
    success: str | None = None
    success_at: datetime | None = None
    success_why: str | None = None

    def view(self) -> DeploymentView:
        """As templates see it."""
        return DeploymentView(
            service=self.service,
            environment=self.environment,
            version=self.version,
            previous_version=self.previous_version,
            started_at=self.started_at,
            finished_at=self.finished_at,
            status=self.status,
            deployer=self.deployer,
        )

    def to_json(self) -> dict[str, Any]:
        """As the API gives it, with the field names of source 003."""
        duration = (self.finished_at - self.started_at).total_seconds() if self.finished_at else None
        return {
            "id": self.id,
            "timestamp": self.started_at.isoformat(),
            "service": self.service,
            "version": self.version,
            "previous_version": self.previous_version,
            "environment": self.environment,
            "strategy": self.strategy,
            "ports": list(self.ports),
            "deployer": self.deployer,
            "status": self.status,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "duration_seconds": duration,
            "rollback_of": self.rollback_of,
            "artifact": self.artifact,
            "commit_time": self.committed_at.isoformat() if self.committed_at else None,
            "fixes": self.fixes,
            "verdict": self.verdict,
            "judged_at": self.judged_at.isoformat() if self.judged_at else None,
            "success": self.success,
            "success_at": self.success_at.isoformat() if self.success_at else None,
            "success_why": self.success_why,
        }


def start(
    connection: Connection,
    *,
    service: str,
    environment: str,
    version: str,
    started_at: datetime,
    strategy: str = "",
    deployer: str = "",
    ports: Sequence[int] = (),
    rollback_of: int | None = None,
    previous_version: str | None = None,
    artifact: str = "",
    committed_at: datetime | None = None,
    fixes: int | None = None,
) -> Deployment:
    """Note that a deployment began; its previous version is the one given, else what ran with success before it."""
    if previous_version is None:
        previous_version = _last_well(connection, service, environment, deployments.c.started_at <= started_at, set())
    values = {
        "service": service,
        "environment": environment,
        "version": version,
        "previous_version": previous_version,
        "strategy": strategy,
        "deployer": deployer,
        "ports": list(ports),
        "status": Status.RUNNING,
        "started_at": started_at,
        "rollback_of": rollback_of,
        "artifact": artifact,
        "committed_at": committed_at,
        "fixes": fixes,
    }
    return get(connection, insert_id(connection, deployments, values))


def finish(connection: Connection, deployment_id: int, status: Status, finished_at: datetime) -> Deployment | None:
    """Note how a running deployment ended; None when there is no such deployment.

    One that has ended already stays as it is, so that a repeated call changes nothing.
    """
    connection.execute(
        update(deployments)
        .where(deployments.c.id == deployment_id, deployments.c.status == Status.RUNNING)
        .values(status=status, finished_at=finished_at)
    )
    return find(connection, deployment_id)


def judge(connection: Connection, deployment_id: int, verdict: str, now: datetime) -> None:
    """Note the verdict that decided about a deployment; one that was judged bad stays so."""
    connection.execute(
        update(deployments)
        .where(deployments.c.id == deployment_id, deployments.c.verdict.is_distinct_from(BAD))
        .values(verdict=verdict, judged_at=now)
    )


def validated(connection: Connection, deployment_id: int, success: str, why: str, now: datetime) -> None:
    """Note whether a deployment was a success; what was refuted stays so."""
    connection.execute(
        update(deployments)
        .where(deployments.c.id == deployment_id, deployments.c.success.is_distinct_from(REFUTED))
        .values(success=success, success_why=why, success_at=now)
    )


def undone(connection: Connection, deployment_id: int, version: str, began: datetime, ended: datetime) -> Deployment:
    """Note that a deployment was rolled back to `version`: it is marked, and the rollback becomes a row of its own."""
    bad = get(connection, deployment_id)
    mark_rolled_back(connection, bad, ended)
    back = start(
        connection,
        service=bad.service,
        environment=bad.environment,
        version=version,
        started_at=began,
        strategy="rollback",
        deployer="deploywatch",
        ports=bad.ports,
        rollback_of=deployment_id,
    )
    finish(connection, back.id, Status.SUCCEEDED, ended)
    return get(connection, back.id)


def same(
    connection: Connection, service: str, environment: str, version: str, started_at: datetime
) -> Deployment | None:
    """The deployment that these name: what is recorded twice is one."""
    query = select(deployments).where(
        deployments.c.service == service,
        deployments.c.environment == environment,
        deployments.c.version == version,
        deployments.c.started_at == started_at,
    )
    row = connection.execute(query.order_by(deployments.c.id).limit(1)).mappings().first()
    return _deployment(row) if row else None


def with_version(
    connection: Connection, service: str, environment: str, version: str, moment: datetime
) -> Deployment | None:
    """The target's last deployment of this version that began before the moment and is no rollback."""
    query = select(deployments).where(
        deployments.c.service == service,
        deployments.c.environment == environment,
        deployments.c.version == version,
        deployments.c.started_at <= moment,
        deployments.c.rollback_of.is_(None),
    )
    query = query.order_by(deployments.c.started_at.desc(), deployments.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return _deployment(row) if row else None


def mark_rolled_back(connection: Connection, deployment: Deployment, ended: datetime) -> None:
    """Note that a deployment was undone."""
    values = {"status": Status.ROLLED_BACK, "finished_at": deployment.finished_at or ended}
    connection.execute(update(deployments).where(deployments.c.id == deployment.id).values(**values))


def find(connection: Connection, deployment_id: int) -> Deployment | None:
    """One deployment, or None."""
    row = connection.execute(select(deployments).where(deployments.c.id == deployment_id)).mappings().one_or_none()
    return _deployment(row) if row else None


def get(connection: Connection, deployment_id: int) -> Deployment:
    """One deployment that must be there."""
    row = connection.execute(select(deployments).where(deployments.c.id == deployment_id)).mappings().one()
    return _deployment(row)


def latest(connection: Connection, service: str, environment: str) -> Deployment | None:
    """The deployment of this target that began last."""
    deployments_ = recent(connection, limit=1, service=service, environment=environment)
    return deployments_[0] if deployments_ else None


def before(connection: Connection, service: str, environment: str, moment: datetime) -> Deployment | None:
    """The target's last deployment that had begun by then and is no rollback: what may be at fault."""
    newest = recent(connection, limit=LATEST, service=service, environment=environment)
    there = (deployment for deployment in newest if deployment.started_at <= moment and deployment.rollback_of is None)
    if (known := next(there, None)) or len(newest) < LATEST:
        return known
    target = {"of_service": service, "of_environment": environment, "moment": moment}
    row = connection.execute(_BEFORE, target).mappings().first()
    return _deployment(row) if row else None


def those_before(connection: Connection, deployment: Deployment, *, limit: int) -> list[Deployment]:
    """The target's deployments that began before this one, the newest first; rollbacks too."""
    query = select(deployments).where(
        deployments.c.service == deployment.service,
        deployments.c.environment == deployment.environment,
        or_(
            deployments.c.started_at < deployment.started_at,
            and_(deployments.c.started_at == deployment.started_at, deployments.c.id < deployment.id),
        ),
    )
    query = query.order_by(deployments.c.started_at.desc(), deployments.c.id.desc()).limit(limit)
    return [_deployment(row) for row in connection.execute(query).mappings()]


def well_before(connection: Connection, deployment: Deployment) -> str | None:
    """The last different version that was well before a deployment began, and that nobody tried to roll back.

    Worked out when it is asked, because what was the version before may have been judged bad since.
    """
    earlier = or_(
        deployments.c.started_at < deployment.started_at,
        and_(deployments.c.started_at == deployment.started_at, deployments.c.id < deployment.id),
    )
    judged = {deployment.version}
    well = _last_well(connection, deployment.service, deployment.environment, earlier, judged)
    if well is not None:
        return well
    # What its pipeline named, where the ledger does not know that version, or has not seen it fail.
    return deployment.previous_version if deployment.previous_version not in judged else None


def _last_well(
    connection: Connection, service: str, environment: str, earlier: ColumnElement[bool], judged: set[str]
) -> str | None:
    """The last version whose newest deployment was well; `judged` are those that do not count, and grows by others."""
    query = (
        select(
            deployments.c.version,
            deployments.c.status,
            deployments.c.verdict,
            deployments.c.success,
            _TRIED.label("tried"),
        )
        .where(deployments.c.service == service, deployments.c.environment == environment, earlier)
        .order_by(deployments.c.started_at.desc(), deployments.c.id.desc())
        .limit(_LOOK_BACK)
    )
    for version, status, verdict, success, tried in connection.execute(query):
        if version in judged:
            continue
        # What its pipeline called a success, and the verdict or its watching did not, is nothing to go back to.
        if status == Status.SUCCEEDED and verdict != BAD and success != REFUTED and not tried:
            return str(version)
        judged.add(version)
    return None


def _newest(connection: Connection, service: str, environment: str, until: datetime) -> list[Deployment]:
    query = select(deployments).where(
        deployments.c.service == service, deployments.c.environment == environment, deployments.c.started_at < until
    )
    query = query.order_by(deployments.c.started_at.desc(), deployments.c.id.desc()).limit(_LOOK_BACK)
    return [_deployment(row) for row in connection.execute(query).mappings()]


def bad_spans(
    connection: Connection, service: str, environment: str, since: datetime, until: datetime
) -> list[tuple[datetime, datetime]]:
    """When versions ran that are known to be bad (judged so, failed, rolled back), between two times.

    Each lasts from its deployment's beginning to the end of what undid it, or to the beginning of the next one.
    """
    rows = _newest(connection, service, environment, until)
    ends = [until, *(later.started_at for later in rows)]
    spans = []
    for deployment, later, next_began in zip(rows, [None, *rows], ends, strict=False):
        undone_at = later.finished_at if later is not None and later.rollback_of == deployment.id else None
        ended = undone_at or next_began
        bad = deployment.verdict == BAD or deployment.status in (Status.FAILED, Status.ROLLED_BACK)
        if bad and ended > since:
            spans.append((max(since, deployment.started_at), min(until, ended)))
    return spans


def since(connection: Connection, service: str, environment: str, moment: datetime) -> list[Deployment]:
    """Every deployment of a target that began at that moment or later, the oldest first."""
    query = select(deployments).where(
        deployments.c.service == service, deployments.c.environment == environment, deployments.c.started_at >= moment
    )
    rows = connection.execute(query.order_by(deployments.c.started_at, deployments.c.id)).mappings()
    return [_deployment(row) for row in rows]


def recent(
    connection: Connection, *, limit: int, service: str | None = None, environment: str | None = None
) -> list[Deployment]:
    """The deployments that began last, the newest first."""
    wanted = {"service": service, "environment": environment}
    given = {f"of_{name}": value for name, value in wanted.items() if value is not None}

    def read() -> list[Deployment]:
        rows = connection.execute(_recent(tuple(given)), {"most": limit, **given}).mappings()
        return [_deployment(row) for row in rows]

    return unit_of_work.remember(connection, (deployments.name,), (limit, service, environment), read)


@lru_cache
def _recent(given: tuple[str, ...]) -> Select[Any]:
    columns = {"of_service": deployments.c.service, "of_environment": deployments.c.environment}
    query = select(deployments).where(*(columns[name] == bindparam(name) for name in given))
    return query.order_by(deployments.c.started_at.desc(), deployments.c.id.desc()).limit(bindparam("most"))


def newest_of_each(connection: Connection, versions: int) -> list[Deployment]:
    """Of each service and environment the deployments that began last, `versions` of them: what metrics show."""
    targets = connection.execute(select(deployments.c.service, deployments.c.environment).distinct()).all()
    return [
        deployment for s, e in targets for deployment in recent(connection, limit=versions, service=s, environment=e)
    ]


def _deployment(row: RowMapping) -> Deployment:
    return Deployment(**{**row, "ports": tuple(row["ports"]), "status": Status(row["status"])})
