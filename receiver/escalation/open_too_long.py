"""Source 004, W7: escalate an incident that lives longer than its severity's plan allows, acknowledged or not."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from deploywatch.quantity import format_duration
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation import escalate
from deploywatch.receiver.incidents import store, urgency
from deploywatch.receiver.incidents.case import Case
from deploywatch.receiver.jobs.job import Job, NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.suppression import gate

KIND = "outlived"


def watch(case: Case) -> None:
    """Look again when the time of the incident's severity is over, counted from when it opened."""
    incident = case.incident
    longest = case.settings.strategy.of(incident.severity).escalate_after
    if longest is None:
        return
    job = NewJob(
        kind=KIND,
        key=f"{KIND}:{incident.id}:{incident.severity}",
        serial_key=f"{KIND}:{incident.id}",
        # From its opening, not from now: one that became worse after an hour has had that hour.
        run_at=incident.opened_at + longest,
        incident_id=incident.id,
        urgency=urgency.of(incident.severity),
        payload={"longest": longest.total_seconds(), "severity": incident.severity},
    )
    enqueue(case.connection, case.now, job)


async def handle(context: Context, job: Job) -> Outcome:
    """Escalate what still goes on; what is quiet, under maintenance or silenced is looked at again."""
    _, ruling = await gate.ask(context, job.incident_id, asker=gate.Asker.TELLS)
    if not ruling.opens:
        return ruling.outcome()
    due = await context.store.read(lambda connection: escalate.due_at(connection, job))
    why = f"it has lived longer than {format_duration(timedelta(seconds=job.payload['longest']))}"

    def record(connection: Connection) -> None:
        fresh = store.get(connection, job.incident_id)
        if not fresh.resolved_at:
            once = f"{KIND}:{job.payload.get('severity', '')}"
            escalate.at_once(connection, context.settings, fresh, context.clock(), why=why, once=once, due=due)

    return done(why, record)
