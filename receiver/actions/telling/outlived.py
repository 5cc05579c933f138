"""Source 004, W7: escalate an incident that lives longer than its severity's plan allows, acknowledged or not."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from deploywatch.quantity import format_duration
from receiver.actions.case import Case
from receiver.actions.telling import escalate
from receiver.desk import Desk
from receiver.held import holding, silenced
from receiver.incidents import book
from receiver.jobs import Job, NewJob, Outcome, again, done, enqueue

KIND = "outlived"
_SOONEST = timedelta(seconds=1)


def watch(case: Case) -> None:
    """Look again when the time of the incident's severity is over, counted from when it opened."""
    incident = case.incident
    longest = case.settings.strategy.of(incident.severity).escalate_after
    if longest is None:
        return
    job = NewJob(
        kind=KIND,
        key=f"{KIND}:{incident.id}:{incident.severity}",
        lane=f"{KIND}:{incident.id}",
        run_at=incident.opened_at + longest,
        incident_id=incident.id,
        payload={"longest": longest.total_seconds()},
    )
    enqueue(case.connection, case.now, job)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Escalate what still goes on; what is quiet, under maintenance or silenced is looked at again."""
    now = desk.clock()
    incident = await desk.store.read(lambda connection: book.get(connection, job.incident_id))
    due = await desk.store.read(lambda connection: escalate.due_at(connection, job))
    if incident.resolved_at:
        return done("it was over in time")
    if incident.quiet_since:
        return again("every alert is quiet just now", max(desk.settings.quiet_time, _SOONEST))
    hold = await desk.store.read(lambda connection: holding.current(connection, desk.settings, incident, now))
    if hold and not hold.tell:
        return again(str(hold), max(hold.until - now, _SOONEST))
    if pause := await silenced.pause(desk, incident):
        return again("silenced", pause)
    why = f"it has lived longer than {format_duration(timedelta(seconds=job.payload['longest']))}"

    def record(connection: Connection) -> None:
        fresh = book.get(connection, job.incident_id)
        if not fresh.resolved_at:
            escalate.at_once(connection, desk.settings, fresh, desk.clock(), why=why, once=KIND, due=due)

    return done(why, record)
