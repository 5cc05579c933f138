"""Takes an announced deployment into the ledger: what is announced twice changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from deploywatch.receiver.announcements.announced import Announced, Became, MalformedError
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.deployments.records import Record
from deploywatch.receiver.intake import deployment_record

# More than clocks drift, less than a time zone that was forgotten.
CLOCKS_DIFFER: Final = timedelta(hours=1)
_RECENT: Final = 50


@dataclass(frozen=True, slots=True)
class Took:
    """What became of an announcement, and of which deployment."""

    became: Became
    deployment: Deployment
    why: str = ""


def take(connection: Connection, context: Context, announced: Announced, now: datetime) -> Took:
    """Write it down, with all that follows. Raises MalformedError for what is said to be in the future."""
    if announced.at > now + CLOCKS_DIFFER:
        raise MalformedError(f"{announced.at.isoformat()} is in the future")
    known = _known(connection, announced)
    if known is not None:
        return _go_on(connection, context, announced, known, now)
    taken = deployment_record.take(connection, context, _record(connection, announced), now)
    return Took(Became.ENDED if taken.ended else Became.BEGAN, taken.deployment)


def _known(connection: Connection, announced: Announced) -> Deployment | None:
    """The deployment of the ledger that is meant; None where it is a new one."""
    place = (announced.service, announced.environment)
    # With its own start, an announcement names its deployment; the guesses below are for senders without one.
    if announced.started_at is not None:
        return ledger.same(connection, *place, announced.version, announced.started_at)
    recent = ledger.recent(connection, limit=_RECENT, service=place[0], environment=place[1])
    of_version = [deployment for deployment in recent if deployment.version == announced.version]
    if announced.status is None:
        return next((d for d in of_version if _covers(d, announced) or d.status is Status.RUNNING), None)
    repeated = next((deployment for deployment in of_version if deployment.finished_at == announced.at), None)
    running = (d for d in of_version if d.status is Status.RUNNING and d.started_at <= announced.at)
    if known := repeated or next(running, None):
        return known
    # The same again, of what runs already: nothing was deployed.
    newest = recent[0] if recent else None
    same = newest and newest.version == announced.version and newest.status is announced.status
    return newest if newest and same and (announced.settles or announced.back) else None


def _covers(deployment: Deployment, announced: Announced) -> bool:
    """Whether a beginning that is heard of late belongs to this deployment."""
    return deployment.started_at >= announced.at or (deployment.finished_at or announced.at) > announced.at


def _go_on(connection: Connection, context: Context, announced: Announced, known: Deployment, now: datetime) -> Took:
    if announced.status is None:
        return Took(Became.KNOWN, known)
    if known.status is Status.RUNNING:
        at = max(announced.at, known.started_at)
        ended = deployment_record.finish(connection, context, known.id, announced.status, at, now=now)
        return Took(Became.ENDED, ended or known)
    # What was rolled back ended well or badly before that; a late report of it takes nothing back.
    if known.status is announced.status or known.status is Status.ROLLED_BACK:
        return Took(Became.KNOWN, known)
    why = f"deployment {known.id} of {known.version} is {known.status} already, and stays so"
    return Took(Became.CONTRADICTS, known, why)


def _record(connection: Connection, announced: Announced) -> Record:
    started = announced.started_at or announced.at
    undone = _undone(connection, announced) if announced.back else None
    return Record(
        service=announced.service,
        environment=announced.environment,
        version=announced.version,
        started_at=started,
        dated=True,
        status=announced.status,
        took=announced.at - started if announced.status else timedelta(),
        rollback_of=undone,
        artifact=announced.artifact,
        deployer=announced.deployer,
    )


def _undone(connection: Connection, announced: Announced) -> str | None:
    """The version that a rollback undid, as far as the ledger knows what ran."""
    before = ledger.before(connection, announced.service, announced.environment, announced.at)
    return before.version if before and before.version != announced.version else None
