"""Escalate: reach those who are configured for it, at once or when nobody has acknowledged in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store, timeline, urgency
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob
from deploywatch.receiver.jobs.queue import bring_forward, enqueue
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.notify.queueing import KIND as NOTIFICATION
from deploywatch.receiver.notify.queueing import tell
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event
from deploywatch.receiver.suppression import gate

KIND = "escalate"


def at_once(
    connection: Connection,
    settings: ReceiverConfig,
    incident: Incident,
    now: datetime,
    *,
    why: str,
    once: object,
    channels: tuple[str, ...] = (),
    due: datetime | None = None,
    headline: str = "",
) -> None:
    """Escalate now, to these channels or those of the config; they will also hear how the incident ends.

    Whom another escalation has reached since `due`, when this one was to happen, is not told twice. `headline` is the
    beginning of the title, where more has happened than that somebody is asked.
    """
    channels_ = channels or wanted(settings)
    if channels_ and due is not None and not (channels_ := unheard(connection, incident, channels_, due)):
        return
    # Who was called at night must also hear that it is over.
    wider = replace(incident, channels=tuple(dict.fromkeys((*incident.channels, *channels_))))
    store.save(connection, wider)
    names = ", ".join(channels_) or "nobody: no channel is configured"
    timeline.write(connection, incident.id, now, Kind.ESCALATED, f"escalated to {names}: {why}")
    more = {"headline": headline} if headline else {}
    tell(connection, settings, wider, Event.ESCALATED, now, once=once, note=why, channels=channels_, more=more)


def later(connection: Connection, incident: Incident, now: datetime, after: timedelta, again: str = "") -> None:
    """Escalate after a time, unless somebody has acknowledged by then; of several times the earliest counts.

    `again` tells apart the times at which the incident came to be as bad as it had been before.
    """
    trouble = f"{incident.severity}{again}"
    job = NewJob(
        kind=KIND,
        key=f"escalate:{incident.id}:{trouble}",
        serial_key=f"escalate:{incident.id}",
        run_at=now + after,
        incident_id=incident.id,
        urgency=urgency.of(incident.severity),
        payload={"trouble": trouble},
    )
    # Queued once for this trouble; where it is queued already, the earlier of the two times counts.
    enqueue(connection, now, job)
    bring_forward(connection, job)


async def handle(context: Context, job: Job) -> Outcome:
    """Escalate an incident that nobody has acknowledged; one that is over, or in hand, is left alone.

    One that is quiet just now is looked at again: it ends, or it goes on and somebody must take it in hand.
    """
    known, ruling = await gate.ask(context, job.incident_id, asker=gate.Asker.TELLS)
    # Asked before the gate's ruling: in hand is in hand, also during maintenance.
    if known.acknowledged_at:
        return done("acknowledged")
    if not ruling.opens:
        return ruling.outcome()
    due = await context.store.read(lambda connection: due_at(connection, job))

    def record(connection: Connection) -> None:
        incident = store.get(connection, job.incident_id)
        # Asked anew in the transaction: somebody may have acknowledged while Alertmanager was asked for silences.
        if incident.waits_for_somebody:
            why = f"nobody acknowledged it since {incident.opened_at:%H:%M:%S} UTC"
            # Another trouble than the one that was escalated before is told anew.
            once = f"unacknowledged:{job.payload.get('trouble', '')}"
            at_once(connection, context.settings, incident, context.clock(), why=why, once=once, due=due)

    return done(record=record)


def wanted(settings: ReceiverConfig) -> tuple[str, ...]:
    """Whom an escalation reaches that names nobody: those of the config, or every channel of ours."""
    outside = settings.outside_channels
    return settings.escalation.channels or tuple(name for name in settings.channels if name not in outside)


def due_at(connection: Connection, job: Job) -> datetime:
    """When the job in hand was due; to be asked before it is finished."""
    due: datetime = connection.execute(select(jobs.c.run_at).where(jobs.c.id == job.id)).scalar_one()
    return due


def unheard(connection: Connection, incident: Incident, channels: Iterable[str], due: datetime) -> tuple[str, ...]:
    """Those channels that no other escalation of the incident has reached since this one was due."""
    since = reached(connection, incident.id, since=due)
    return tuple(name for name in channels if name not in since)


def reached(connection: Connection, incident_id: int, *, since: datetime | None = None) -> set[str]:
    """The channels that the incident was escalated to: ever, or from a time on."""
    query = select(jobs.c.payload).where(jobs.c.incident_id == incident_id, jobs.c.kind == NOTIFICATION)
    if since is not None:
        query = query.where(jobs.c.created_at >= since)
    keys = connection.execute(query).scalars()
    return {payload["channel"] for payload in keys if payload["event"] == Event.ESCALATED}


def _queue_action(case: Case) -> None:
    incident, why = case.incident, f"{case.alert.name} is {case.incident.severity}"
    at_once(case.connection, case.settings, incident, case.now, why=why, once=case.once)


ACTION = Action("escalate", _queue_action, {KIND: handle})
