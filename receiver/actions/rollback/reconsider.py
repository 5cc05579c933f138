"""Decide again about a rollback that was refused because its deployment was still running, once that has ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, update

from receiver.actions.rollback.record import ROLLBACK, lane
from receiver.deployments import ledger
from receiver.deployments.ledger import Deployment, Status
from receiver.desk import Desk
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.jobs import Job, NewJob, Outcome, State, again, done, enqueue
from receiver.store.schema import jobs

KIND = "reconsider"
_LOOK, _SOONEST = timedelta(seconds=30), timedelta(seconds=1)


def wait_for(connection: Connection, incident: Incident, deployment: Deployment, now: datetime, *, asker: str) -> None:
    """Look again until the deployment has ended; one that never does, until it is not recent any more."""
    job = NewJob(
        kind=KIND,
        key=f"{KIND}:{incident.id}:{deployment.id}",
        lane=_lane(deployment),
        run_at=now + _LOOK,
        incident_id=incident.id,
        payload={"deployment": deployment.id, "alert": asker},
    )
    enqueue(connection, now, job)


def has_ended(connection: Connection, deployment: Deployment, now: datetime) -> None:
    """A deployment ended: have those look again now who wait for it."""
    waiting = (jobs.c.kind == KIND, jobs.c.lane == _lane(deployment), jobs.c.state == State.READY)
    connection.execute(update(jobs).where(*waiting, jobs.c.run_at > now).values(run_at=now))


async def handle(desk: Desk, job: Job) -> Outcome:
    """Have it decided again, after the usual delay, if the incident still goes on."""
    now = desk.clock()
    incident = await desk.store.read(lambda connection: book.get(connection, job.incident_id))
    deployment = await desk.store.read(lambda connection: ledger.get(connection, job.payload["deployment"]))
    running = deployment.status is Status.RUNNING
    if incident.resolved_at:
        return done("over")
    if running and now - deployment.started_at <= desk.settings.rollback.recent:
        return again(f"{deployment.version} is still being deployed", _LOOK)
    if incident.quiet_since:
        return again("every alert is quiet just now", max(desk.settings.quiet_time, _SOONEST))
    stands = "does not end" if running else f"has {_ENDED[deployment.status]}"
    text = f"the deployment of {deployment.version} {stands}: whether to roll back is decided again"
    decision = NewJob(
        kind=ROLLBACK,
        key=f"rollback:{incident.id}:deployment:{deployment.id}",
        lane=lane(incident.service, incident.environment),
        run_at=now + desk.settings.rollback.delay,
        incident_id=incident.id,
        payload={"alert": job.payload["alert"]},
    )

    def record(connection: Connection) -> None:
        book.write_line(connection, incident.id, now, "rollback_reconsidered", text)
        enqueue(connection, now, decision)

    return done(text, record)


_ENDED = {Status.SUCCEEDED: "succeeded", Status.FAILED: "failed", Status.ROLLED_BACK: "been rolled back"}


def _lane(deployment: Deployment) -> str:
    return f"{KIND}:{deployment.id}"
