"""Decide again about a rollback that was refused because its deployment was still running, once that has ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, update

from deploywatch.receiver.actions.rollback.history import ROLLBACK
from deploywatch.receiver.actions.target_lock import serial_key
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.ledger import Deployment, Status
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.incidents.store import Incident
from deploywatch.receiver.jobs.queue import Job, NewJob, Outcome, State, done, enqueue, retry
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.suppression import gate

KIND = "reconsider"
_LOOK = timedelta(seconds=30)


def wait_for(connection: Connection, incident: Incident, deployment: Deployment, now: datetime, *, asker: str) -> None:
    """Look again until the deployment has ended; one that never does, until it is not recent any more."""
    job = NewJob(
        kind=KIND,
        key=f"{KIND}:{incident.id}:{deployment.id}",
        serial_key=_serial_key(deployment),
        run_at=now + _LOOK,
        incident_id=incident.id,
        payload={"deployment": deployment.id, "alert": asker},
    )
    enqueue(connection, now, job)


def has_ended(connection: Connection, deployment: Deployment, now: datetime) -> None:
    """A deployment ended: have those look again now who wait for it."""
    waiting = (jobs.c.kind == KIND, jobs.c.serial_key == _serial_key(deployment), jobs.c.state == State.READY)
    connection.execute(update(jobs).where(*waiting, jobs.c.run_at > now).values(run_at=now))


async def handle(context: Context, job: Job) -> Outcome:
    """Have it decided again, after the usual delay, if the incident still goes on."""
    now = context.clock()
    incident = await context.store.read(lambda connection: store.get(connection, job.incident_id))
    deployment = await context.store.read(lambda connection: ledger.get(connection, job.payload["deployment"]))
    running = deployment.status is Status.RUNNING
    ruling = gate.decide(
        incident, window=None, silence=None, asker=gate.Asker.ACTS, now=now, quiet_time=context.settings.quiet_time
    )
    if ruling.reason is gate.Reason.OVER:
        return ruling.outcome()
    if running and now - deployment.started_at <= context.settings.rollback.recent:
        return retry(f"{deployment.version} is still being deployed", _LOOK)
    if not ruling.opens:
        return ruling.outcome()
    stands = "does not end" if running else f"has {_ENDED[deployment.status]}"
    text = f"the deployment of {deployment.version} {stands}: whether to roll back is decided again"
    decision = NewJob(
        kind=ROLLBACK,
        key=f"rollback:{incident.id}:deployment:{deployment.id}",
        serial_key=serial_key(incident.service, incident.environment),
        run_at=now + context.settings.rollback.delay,
        incident_id=incident.id,
        payload={"alert": job.payload["alert"]},
    )

    def record(connection: Connection) -> None:
        timeline.write(connection, incident.id, now, Kind.ROLLBACK_RECONSIDERED, text)
        enqueue(connection, now, decision)

    return done(text, record)


_ENDED = {Status.SUCCEEDED: "succeeded", Status.FAILED: "failed", Status.ROLLED_BACK: "been rolled back"}


def _serial_key(deployment: Deployment) -> str:
    return f"{KIND}:{deployment.id}"
