"""What is to happen with an incident as time passes: durable jobs, queued once, that decide when they are due."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, update

from deploywatch.receiver.incidents import urgency
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import Job, NewJob, State, Urgency
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.schema import jobs

BEGIN, REMINDER, STEP, UPDATE, REVIEW = "begin", "reminder", "escalation_step", "update_due", "review_due"
REMINDERS = frozenset({REMINDER, STEP, UPDATE, REVIEW})
"""Those by which people hear; each run of one ends with a Verdict."""


def begin(connection: Connection, incident: Incident, now: datetime, again: str = "", *, held: bool = True) -> None:
    """Have checklist, deadlines and cause seen to, once for each severity that the incident comes to have.

    `again` tells apart the times at which it came to have the same one; `held` says that a maintenance window may hold
    it.
    """
    payload = {"severity": incident.severity, "again": again, **({} if held else {"held": False})}
    _queue(connection, incident, now, kind=BEGIN, which=f"{incident.severity}{again}", run_at=now, payload=payload)


def deadlines(
    connection: Connection, settings: ReceiverConfig, incident: Incident, since: datetime, again: str = ""
) -> None:
    """Queue the reminder and the escalation steps of its severity, which it has had since then."""
    severity = incident.severity
    if within := settings.response.deadline(severity):
        remind = {"severity": severity, "within": within.total_seconds(), "again": again}
        _queue(
            connection,
            incident,
            since,
            kind=REMINDER,
            which=f"{severity}{again}",
            run_at=since + within,
            payload=remind,
        )
    for number, step in enumerate(settings.escalation.of(severity, settings.response), start=1):
        payload = {
            "severity": severity,
            "number": number,
            "after": step.after.total_seconds(),
            "who": list(step.who),
            "channels": list(step.channels),
            # What a step needs is packed with it: it goes by the config that was in force when the incident began.
            "repeats": not settings.escalation.is_default(severity),
            "falls_back": settings.escalation.reaches_always(severity),
            "again": again,
        }
        which, run_at = f"{severity}{again}:{number}", since + step.after
        _queue(connection, incident, since, kind=STEP, which=which, run_at=run_at, payload=payload)


def updates(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime) -> datetime | None:
    """Queue the reminders of status updates, from now until it is resolved; when the first update is due comes back."""
    every = settings.response.update_every(incident.severity)
    if every is None or not incident.acknowledged_at or incident.resolved_at:
        return None
    _queue(connection, incident, now, kind=UPDATE, run_at=now + every)
    return now + every


def promise(connection: Connection, incident: Incident, now: datetime, due: datetime | None) -> None:
    """Have the next status update be due when a person promised it; None: when its severity says."""
    waiting = (jobs.c.kind == UPDATE, jobs.c.incident_id == incident.id, jobs.c.state == State.READY)
    values = {"payload": {"promised": due.isoformat()}, "run_at": due} if due else {"payload": {}, "run_at": now}
    connection.execute(update(jobs).where(*waiting).values(**values))


def reminded(connection: Connection, job: Job, due: datetime) -> None:
    """Note on the job in hand that who is on it was reminded of the update that was due then."""
    payload = {**job.payload, "reminded": due.isoformat()}
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(payload=payload))


def review(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime) -> None:
    """Queue the reminder that its review is not done, where its severity requires one."""
    required = settings.response.review
    if incident.severity in required.severities:
        _queue(connection, incident, now, kind=REVIEW, run_at=now + required.within)


def _queue(
    connection: Connection,
    incident: Incident,
    now: datetime,
    *,
    kind: str,
    run_at: datetime,
    which: str = "",
    payload: Mapping[str, Any] | None = None,
) -> None:
    key = f"{kind}:{incident.id}:{which}"
    # Paperwork must never stand before a page in the queue.
    soon = Urgency.LOW if kind in (UPDATE, REVIEW) else urgency.of(incident.severity)
    job = NewJob(kind, key, key, run_at, incident.id, payload or {}, urgency=soon)
    enqueue(connection, now, job)
