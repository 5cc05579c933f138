"""Takes in what others have recorded of deployments and rollbacks: what is recorded twice changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.ledger import Deployment, Status


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
    """The deployment in the ledger; `began` and `ended` say what was new about it."""

    deployment: Deployment
    began: bool
    ended: bool


def take(connection: Connection, record: Record) -> Taken:
    """Write it down; UnknownDeploymentError when a rollback undoes what is not known."""
    known = _known(connection, record)
    if known is not None:
        ends = record.status is not None and known.status is Status.RUNNING
        return Taken(_ended(connection, known, record) if ends else known, began=False, ended=ends)
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
    if undone is not None and record.status is Status.SUCCEEDED:
        ledger.mark_rolled_back(connection, undone, record.ended_at)
    if record.status is None:
        return Taken(begun, began=True, ended=False)
    return Taken(_ended(connection, begun, record), began=True, ended=True)


def _known(connection: Connection, record: Record) -> Deployment | None:
    if not record.dated:
        return None
    return ledger.same(connection, record.service, record.environment, record.version, record.started_at)


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
    undone = ledger.with_version(connection, *place, record.rollback_of, record.started_at)
    if undone is None:
        raise UnknownDeploymentError(
            f"$.rollback_of: no deployment of {record.service} {record.rollback_of} to {record.environment} is known "
            f"that began before {record.started_at.isoformat()}; import that one first"
        )
    return undone
