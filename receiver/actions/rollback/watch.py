"""Watches a target after its rollback was verified: GitOps, or a person, may put the bad version back."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, RowMapping, select

from deploywatch.receiver.actions.rollback import verify
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.escalation import escalate
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome, done, retry
from deploywatch.receiver.notify.queueing import heard, tell
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.story import Event

KIND: Final = verify.WATCH
EVERY: Final = timedelta(minutes=1)
"""How often the exporter is asked which version runs."""


class Reason(StrEnum):
    """Whether the version that was rolled back has returned."""

    STAYS = "stays"
    BACK = "back"
    DEPLOYED_AGAIN = "deployed_again"
    NEWER_DEPLOYMENT = "newer_deployment"
    OVER = "over"


def judge(
    *, running: str, bad: str, newer: Deployment | None, incident_open: bool, now: datetime, until: datetime
) -> Reason:
    """Whether the bad version is back; `newer` is the deployment that was told of last since the rollback.

    A newer one of another version that succeeded is somebody's intention, and has its own alerts. What nobody can see
    (`running` is empty) is looked at again, up to the end.
    """
    # One that failed, or has not ended, changes nothing yet about what may come back.
    if newer is not None and newer.status not in (Status.FAILED, Status.ROLLED_BACK):
        # A controller that heals itself announces that as a deployment, just as a person's would be.
        if newer.version == bad:
            return Reason.DEPLOYED_AGAIN
        if newer.status is Status.SUCCEEDED:
            return Reason.NEWER_DEPLOYMENT
    elif running == bad:
        return Reason.BACK
    return Reason.STAYS if incident_open or now < until else Reason.OVER


# Watched from the end of the incident on: while it is open people look at it anyway.
async def handle(context: Context, job: Job) -> Outcome:
    """Look which version runs; when it is the one that was rolled back, say so once and have people called."""
    row, incident, newer = await context.store.read(lambda connection: _known(connection, job))
    target = context.settings.rollback.target(row["service"], row["environment"])
    if target is None or not target.verify.watch:
        return done("not watched")
    health = await verify.look(context.http, target.verify.url, row["service"], row["environment"], row["to_version"])
    now, since = context.clock(), incident.resolved_at or datetime.fromisoformat(job.payload["verified_at"])
    reason = judge(
        running=health.running,
        bad=row["from_version"],
        newer=newer,
        incident_open=incident.resolved_at is None,
        now=now,
        until=since + target.verify.watch,
    )
    if reason is Reason.STAYS:
        return retry(reason, EVERY)
    if reason is Reason.BACK:
        return done(reason, lambda connection: _say_back(connection, context, row, now))
    if reason is Reason.DEPLOYED_AGAIN and newer is not None:
        return done(reason, lambda connection: _say_deployed(connection, context, row, newer, now))
    return done(reason)


def _known(connection: Connection, job: Job) -> tuple[RowMapping, Incident, Deployment | None]:
    """The rollback, its incident, and the deployment of its target that somebody told of last since, or None."""
    row = connection.execute(select(rollbacks).where(rollbacks.c.id == job.payload["rollback"])).mappings().one()
    latest = ledger.latest(connection, row["service"], row["environment"])
    known = latest is None or latest.rollback_of == row["deployment_id"] or latest.id == row["deployment_id"]
    return row, store.get(connection, row["incident_id"]), None if known else latest


def _say_back(connection: Connection, context: Context, row: RowMapping, now: datetime) -> None:
    """Tell people that the rollback does not hold; it is not done again, which would fight with whatever undid it."""
    incident, settings = store.get(connection, row["incident_id"]), context.settings
    where = f"{row['service']} in {row['environment']}"
    text = (
        f"something put {row['from_version']} back: {where} was rolled back to {row['to_version']}, which was verified"
        f"; find what deploys it (such as a GitOps controller that heals itself) and set it to {row['to_version']}"
    )
    headline = f"{row['from_version']} is back"
    if incident.resolved_at is not None:
        # Of an incident that is over nobody is paged, as nothing would end that page.
        _tell_all_who_heard(connection, context, row, now, headline=headline, text=text)
        return
    timeline.write(connection, incident.id, now, Kind.ROLLBACK_UNDONE, text)
    escalate.at_once(connection, settings, incident, now, why=text, once=f"undone:{row['id']}", headline=headline)


def _say_deployed(connection: Connection, context: Context, row: RowMapping, newer: Deployment, now: datetime) -> None:
    """Tell people that what was rolled back is deployed again; it may be meant, so nobody is called."""
    who = f" by {newer.deployer}" if newer.deployer else ""
    text = (
        f"{row['from_version']} is deployed again{who}: {row['service']} in {row['environment']} was rolled back from "
        f"it to {row['to_version']}, which was verified; unless that is meant, set what deploys it (such as a GitOps "
        f"controller that heals itself) to {row['to_version']}"
    )
    _tell_all_who_heard(connection, context, row, now, headline=f"{row['from_version']} is deployed again", text=text)


def _tell_all_who_heard(
    connection: Connection, context: Context, row: RowMapping, now: datetime, *, headline: str, text: str
) -> None:
    incident, once = store.get(connection, row["incident_id"]), f"undone:{row['id']}"
    timeline.write(connection, incident.id, now, Kind.ROLLBACK_UNDONE, text)
    channels, more = heard(connection, incident), {"headline": headline}
    tell(connection, context.settings, incident, Event.UPDATE, now, once=once, note=text, channels=channels, more=more)
