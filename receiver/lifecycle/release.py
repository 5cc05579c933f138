"""When maintenance or a silence ends: does what was held back, if its incident still goes on."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.receiver.actions.queueing import Case, queue_all
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import alerts, store, timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.queue import Job, NewJob, Outcome, done, enqueue, retry
from deploywatch.receiver.messages import Event
from deploywatch.receiver.notify.notify import tell
from deploywatch.receiver.suppression import holding, silenced

_SOONEST = timedelta(seconds=1)


async def handle(context: Context, job: Job) -> Outcome:
    """Do what was held, leave it when the incident is over; look again while it is held or all is quiet."""
    now = context.clock()
    incident = await context.store.read(lambda connection: store.get(connection, job.incident_id))
    hold = await context.store.read(lambda connection: holding.current(connection, context.settings, incident, now))
    if incident.resolved_at:
        return done("over", lambda connection: _left(connection, job, now))
    if hold:
        return retry(str(hold), max(hold.until - now, _SOONEST))
    if incident.quiet_since:
        return retry("every alert is quiet just now", max(context.settings.quiet_time, _SOONEST))
    if (end := job.payload.get("silenced_until")) and (
        pause := await silenced.pause(context, incident, known_until=datetime.fromisoformat(end))
    ):
        return retry("silenced", pause)
    return done("released", lambda connection: _release(connection, context, job))


def _release(connection: Connection, context: Context, job: Job) -> None:
    now, incident, held = context.clock(), store.get(connection, job.incident_id), job.payload
    over = "not silenced any more" if "silenced_until" in held else "maintenance is over"
    timeline.write(connection, incident.id, now, Kind.ACTION_RELEASED, f"{over}: {_what(job)}")
    if "job" in held:
        again = dict(held["job"])
        again["serial_key"] = again.pop("lane", None) or again["serial_key"]  # an older version held it as `lane`
        enqueue(connection, now, NewJob(**again, key=f"{job.key}:released", run_at=now, incident_id=incident.id))
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
    alert = alerts.episode(connection, held["fingerprint"], datetime.fromisoformat(held["starts_at"]))
    queue_all(Case(connection, context.settings, incident, alert, event, now), held["do"])


def _left(connection: Connection, job: Job, now: datetime) -> None:
    text = f"{_what(job)}: not done, the incident is over"
    timeline.write(connection, job.incident_id, now, Kind.ACTION_DROPPED, text)


def _what(job: Job) -> str:
    held = job.payload
    if "job" in held:
        return str(held["job"]["kind"])
    return f"telling {', '.join(held['tell'])}" if "tell" in held else ", ".join(held["do"])
