"""Escalate: reach those who are configured for it, at once or when nobody has acknowledged in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver.actions.notify import tell
from receiver.config import ReceiverConfig
from receiver.desk import Desk
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.jobs import Job, NewJob, Outcome, again, bring_forward, done, enqueue
from receiver.messages import Event
from receiver.people import holding

KIND = "escalate"
_SOONEST = timedelta(seconds=1)


def at_once(
    connection: Connection,
    settings: ReceiverConfig,
    incident: Incident,
    now: datetime,
    *,
    why: str,
    once: object,
    channels: tuple[str, ...] = (),
) -> None:
    """Escalate now, to these channels or those of the config; they will also hear how the incident ends."""
    reached = channels or settings.escalation.channels or tuple(settings.channels)
    wider = replace(incident, channels=tuple(dict.fromkeys((*incident.channels, *reached))))
    book.save(connection, wider)
    names = ", ".join(reached) or "nobody: no channel is configured"
    book.write_line(connection, incident.id, now, "escalated", f"escalated to {names}: {why}")
    tell(connection, settings, wider, Event.ESCALATED, now, once=once, note=why, channels=reached)


def later(connection: Connection, incident: Incident, now: datetime, after: timedelta) -> None:
    """Escalate after a time, unless somebody has acknowledged by then; of several times the earliest counts."""
    job = NewJob(
        kind=KIND,
        key=f"escalate:{incident.id}",
        lane=f"escalate:{incident.id}",
        run_at=now + after,
        incident_id=incident.id,
    )
    enqueue(connection, now, job)
    bring_forward(connection, job)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Escalate an incident that nobody has acknowledged; one that is over, or in hand, is left alone.

    One that is quiet just now is looked at again: it ends, or it goes on and somebody must take it in hand.
    """
    now = desk.clock()
    found = await desk.store.read(lambda connection: book.get(connection, job.incident_id))
    hold = await desk.store.read(lambda connection: holding.current(connection, desk.settings, found, now))
    if hold and not hold.tell and found.waits_for_somebody:
        return again(str(hold), max(hold.until - now, _SOONEST))
    if found.status is book.Status.MONITORING and not found.acknowledged_at:
        return again("every alert is quiet just now", max(desk.settings.quiet_time, _SOONEST))

    def record(connection: Connection) -> None:
        incident = book.get(connection, job.incident_id)
        if incident.waits_for_somebody:
            why = f"nobody acknowledged it since {incident.opened_at:%H:%M:%S} UTC"
            at_once(connection, desk.settings, incident, desk.clock(), why=why, once="unacknowledged")

    return done(record=record)
