"""Takes in what others have recorded of deployments and rollbacks: what is recorded twice changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, update

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.deployments import earlier, ledger
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.store.schema import deployments


class UnknownDeploymentError(DeploywatchError):
    """A rollback is recorded of what the ledger does not know."""


@dataclass(frozen=True, slots=True)
class Record:
    """A deployment as its pipeline tells it; without `status` it runs, `rollback_of` is the version that it undid.

    One with the same service, environment, version and `started_at` is the same; `dated` says whether somebody gave
    that time, or it is only when we heard of it.
    """

    service: str
    environment: str
    version: str
    started_at: datetime
    dated: bool
    status: Status | None = None
    took: timedelta = timedelta()
    previous_version: str | None = None
    rollback_of: str | None = None
    strategy: str = ""
    deployer: str = ""
    ports: Sequence[int] = ()
    artifact: str = ""
    committed_at: datetime | None = None
    fixes: int | None = None

    @property
    def ended_at(self) -> datetime:
        """When it was over."""
        return self.started_at + self.took


@dataclass(frozen=True, slots=True)
class Taken:
    """The deployment in the ledger; `began`, `ended` and `completed` say what was new about it.

    `notice` is what its pipeline should know, such as that a rollback is under way; empty where there is nothing.
    """

    deployment: Deployment
    began: bool
    ended: bool
    completed: bool = False
    notice: str = ""

    @property
    def changed(self) -> bool:
        """Whether the ledger has changed."""
        return self.began or self.ended or self.completed


def take(connection: Connection, record: Record) -> Taken:
    """Write it down; UnknownDeploymentError when a rollback undoes what is not known.

    What a deployment that is known lacks is filled in; what the ledger has of it stays.
    """
    known = _known(connection, record)
    if known is not None:
        # An end is taken once: whoever says another one later is told so in `notice`, and changes nothing.
        ends = record.status is not None and known.status is Status.RUNNING
        lacking = _lacking(known, record)
        if lacking:
            connection.execute(update(deployments).where(deployments.c.id == known.id).values(**lacking))
            known = ledger.get(connection, known.id)
        taken = Taken(_ended(connection, known, record) if ends else known, began=False, ended=ends)
        return replace(taken, completed=bool(lacking), notice=_stays(taken.deployment, record))
    undone = _undone(connection, record)
    begun = ledger.start(
        connection,
        service=record.service,
        environment=record.environment,
        version=record.version,
        started_at=record.started_at,
        strategy=record.strategy or ("rollback" if undone else ""),
        deployer=record.deployer,
        ports=record.ports,
        rollback_of=undone.id if undone else None,
        previous_version=record.previous_version or record.rollback_of,
        artifact=record.artifact,
        committed_at=record.committed_at,
        fixes=record.fixes,
    )
    # A rollback that failed has undone nothing.
    if undone is not None and record.status is Status.SUCCEEDED:
        ledger.mark_rolled_back(connection, undone, record.ended_at)
    if record.status is None:
        return Taken(begun, began=True, ended=False)
    return Taken(_ended(connection, begun, record), began=True, ended=True)


def _known(connection: Connection, record: Record) -> Deployment | None:
    # Two deployments of one version that nobody dated are told apart by nothing, and so are two.
    if not record.dated:
        return None
    return ledger.same(connection, record.service, record.environment, record.version, record.started_at)


def _lacking(known: Deployment, record: Record) -> dict[str, Any]:
    """What the record says of the deployment and the ledger does not know."""
    values = {
        "previous_version": record.previous_version or record.rollback_of,
        "strategy": record.strategy,
        "deployer": record.deployer,
        "ports": list(record.ports),
        "artifact": record.artifact,
        "committed_at": record.committed_at,
        "fixes": record.fixes,
    }
    return {name: value for name, value in values.items() if value and not getattr(known, name)}


def _stays(deployment: Deployment, record: Record) -> str:
    if record.status is None or record.status is deployment.status:
        return ""
    return (
        f"deployment {deployment.id} of {deployment.version} is {deployment.status} already, and does not become "
        f"{record.status}"
    )


def _ended(connection: Connection, deployment: Deployment, record: Record) -> Deployment:
    status = record.status or Status.RUNNING
    if status is Status.ROLLED_BACK:
        ledger.mark_rolled_back(connection, deployment, record.ended_at)
        return ledger.get(connection, deployment.id)
    return ledger.finish(connection, deployment.id, status, record.ended_at) or deployment


def _undone(connection: Connection, record: Record) -> Deployment | None:
    if record.rollback_of is None:
        return None
    place = (record.service, record.environment)
    undone = earlier.with_version(connection, *place, record.rollback_of, record.started_at)
    if undone is None:
        raise UnknownDeploymentError(
            f"$.rollback_of: no deployment of {record.service} {record.rollback_of} to {record.environment} is known "
            f"that began before {record.started_at.isoformat()}; import that one first"
        )
    return undone
