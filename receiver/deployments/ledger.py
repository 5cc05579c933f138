"""The ledger of deployments: a row when one starts, its result when it finishes, and rollbacks as rows of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, update

from deploywatch.receiver.deployments.deployment import BAD, REFUTED, Deployment, Status, of_row
from deploywatch.receiver.deployments.earlier import last_well
from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.engine import unit_of_work
from deploywatch.receiver.store.schema import deployments

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


LATEST = 20
"""Deployments of a target that those look at who ask what an incident may come from."""


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
        previous_version = last_well(connection, service, environment, deployments.c.started_at <= started_at, set())
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
        # `<>` would leave out NULL, which a deployment has before its first verdict.
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
    return of_row(row) if row else None


def mark_rolled_back(connection: Connection, deployment: Deployment, ended: datetime) -> None:
    """Note that a deployment was undone."""
    values = {"status": Status.ROLLED_BACK, "finished_at": deployment.finished_at or ended}
    connection.execute(update(deployments).where(deployments.c.id == deployment.id).values(**values))


def find(connection: Connection, deployment_id: int) -> Deployment | None:
    """One deployment, or None."""
    row = connection.execute(select(deployments).where(deployments.c.id == deployment_id)).mappings().one_or_none()
    return of_row(row) if row else None


def get(connection: Connection, deployment_id: int) -> Deployment:
    """One deployment that must be there."""
    row = connection.execute(select(deployments).where(deployments.c.id == deployment_id)).mappings().one()
    return of_row(row)


def latest(connection: Connection, service: str, environment: str) -> Deployment | None:
    """The deployment of this target that began last."""
    deployments_ = recent(connection, limit=1, service=service, environment=environment)
    return deployments_[0] if deployments_ else None


def before(connection: Connection, service: str, environment: str, moment: datetime) -> Deployment | None:
    """The target's last deployment that had begun by then and is no rollback: what may be at fault."""
    newest = recent(connection, limit=LATEST, service=service, environment=environment)
    # Of the newest few first: they are remembered within the transaction, and nearly always enough.
    there = (deployment for deployment in newest if deployment.started_at <= moment and deployment.rollback_of is None)
    if (known := next(there, None)) or len(newest) < LATEST:
        return known
    target = {"of_service": service, "of_environment": environment, "moment": moment}
    row = connection.execute(_BEFORE, target).mappings().first()
    return of_row(row) if row else None


def since(connection: Connection, service: str, environment: str, moment: datetime) -> list[Deployment]:
    """Every deployment of a target that began at that moment or later, the oldest first."""
    query = select(deployments).where(
        deployments.c.service == service, deployments.c.environment == environment, deployments.c.started_at >= moment
    )
    rows = connection.execute(query.order_by(deployments.c.started_at, deployments.c.id)).mappings()
    return [of_row(row) for row in rows]


def recent(
    connection: Connection, *, limit: int, service: str | None = None, environment: str | None = None
) -> list[Deployment]:
    """The deployments that began last, the newest first."""
    wanted = {"service": service, "environment": environment}
    given = {f"of_{name}": value for name, value in wanted.items() if value is not None}

    def read() -> list[Deployment]:
        rows = connection.execute(_recent(tuple(given)), {"most": limit, **given}).mappings()
        return [of_row(row) for row in rows]

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
