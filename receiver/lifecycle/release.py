"""When maintenance or a silence ends: does what was held back, if its incident still goes on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from deploywatch.receiver.actions.queueing import Case, queue_all
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store, timeline, urgency
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.notify.queueing import tell
from deploywatch.receiver.story import Event
from deploywatch.receiver.suppression import gate
from deploywatch.receiver.suppression.gate import Asker, Reason


async def handle(context: Context, job: Job) -> Outcome:
    """Do what was held, leave it when the incident is over; look again while it is held or all is quiet."""
    # What is held by a silence knows its end, for the case that no Alertmanager answers then.
    end = job.payload.get("silenced_until")
    known = datetime.fromisoformat(end) if end else None
    _, ruling = await gate.ask(context, job.incident_id, asker=Asker.ACTS, silenced_until=known)
    if ruling.reason is Reason.OVER:
        return done(ruling.reason, lambda connection: _left(connection, job, context.clock()))
    if not ruling.opens:
        return ruling.outcome()
    return done("released", lambda connection: _release(connection, context, job))


def _release(connection: Connection, context: Context, job: Job) -> None:
    now, incident, held = context.clock(), store.get(connection, job.incident_id), job.payload
    over = "not silenced any more" if "silenced_until" in held else "maintenance is over"
    timeline.write(connection, incident.id, now, Kind.ACTION_RELEASED, f"{over}: {_what(job)}")
    if "job" in held:
        again = dict(held["job"])
        again["serial_key"] = again.pop("lane", None) or again["serial_key"]  # an older version held it as `lane`
        released = NewJob(
            **again,
            # The held job's own key is used up: the queue would take it for a repetition.
            key=f"{job.key}:released",
            run_at=now,
            incident_id=incident.id,
            urgency=urgency.of(incident.severity),
        )
        enqueue(connection, now, released)
        return
    event = Event(held["event"])
    if "tell" in held:
        tell(
            connection,
            context.settings,
            incident,
            event,
            now,
            once=held["once"],
            note=held["note"],
            channels=held["tell"],
        )
        return
    # The episode that asked, not today's: it may have ended and begun anew while it was held.
    alert = alert_store.episode(connection, held["fingerprint"], datetime.fromisoformat(held["starts_at"]))
    queue_all(Case(connection, context.settings, incident, alert, event, now), held["do"])


def _left(connection: Connection, job: Job, now: datetime) -> None:
    text = f"{_what(job)}: not done, the incident is over"
    timeline.write(connection, job.incident_id, now, Kind.ACTION_DROPPED, text)


def _what(job: Job) -> str:
    held = job.payload
    if "job" in held:
        return str(held["job"]["kind"])
    return f"telling {', '.join(held['tell'])}" if "tell" in held else ", ".join(held["do"])
