"""How an incident ends: its alerts are quiet for a while, or a person says so; then the review is drafted."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, select

from deploywatch.quantity import format_duration
from receiver.actions.posting import queue_ends
from receiver.actions.telling.notify import heard, tell
from receiver.config import ReceiverConfig
from receiver.deployments import ledger
from receiver.desk import Desk
from receiver.incidents import agenda, book
from receiver.incidents.book import SYSTEM, Incident, Status
from receiver.jobs import Job, NewJob, Outcome, State, again, backoff, done, enqueue
from receiver.messages import DeploymentView, Event, RollbackView
from receiver.people import measures
from receiver.people.causes import Cause
from receiver.people.damping import quiet_needed
from receiver.store.schema import rollbacks

SETTLE, POSTMORTEM = "settle", "postmortem"


def watch_quiet(connection: Connection, incident: Incident, now: datetime, quiet_time: timedelta) -> Incident:
    """Its last alert has resolved: look again after the quiet time."""
    quiet = replace(incident, quiet_since=now)
    book.save(connection, quiet)
    text = f"every alert has resolved; resolves in {format_duration(quiet_time)} if it stays quiet"
    book.write_line(connection, incident.id, now, "quiet", text)
    job = NewJob(
        kind=SETTLE,
        key=f"settle:{incident.id}:{now.isoformat()}",
        lane=f"settle:{incident.id}",
        run_at=now + quiet_time,
        incident_id=incident.id,
        payload={"quiet_since": now.isoformat()},
    )
    enqueue(connection, now, job)
    return quiet


def resolve(
    connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime, *, by: str, why: str
) -> Incident:
    """End the incident, tell everyone who heard of it, and have the review drafted; a second time changes nothing."""
    if incident.status is Status.RESOLVED:
        return incident
    over = replace(incident, resolved_at=now, resolved_by=by)
    book.save(connection, over)
    measures.resolved(connection, over)
    book.write_line(connection, incident.id, now, "resolved", f"resolved: {why}", actor=by)
    more = {"cause": f"probably {over.cause}: {over.cause_why}"} if over.cause and over.cause != Cause.UNKNOWN else None
    tell(connection, settings, over, Event.RESOLVED, now, note=why, channels=heard(connection, over), more=more)
    queue_ends(connection, settings, over, now)
    draft = NewJob(
        kind=POSTMORTEM,
        key=f"postmortem:{incident.id}",
        lane=f"postmortem:{incident.id}",
        run_at=now,
        incident_id=incident.id,
    )
    enqueue(connection, now, draft)
    agenda.review(connection, settings, over, now)
    return over


async def settle(desk: Desk, job: Job) -> Outcome:
    """Resolve the incident when it has been quiet ever since this job was queued, and for as long as it must be."""
    since, now = datetime.fromisoformat(job.payload["quiet_since"]), desk.clock()
    incident = await desk.store.read(lambda connection: book.get(connection, job.incident_id))
    if incident.quiet_since != since:
        return done("it fired again")
    reopened = await desk.store.read(lambda connection: book.moments(connection, job.incident_id, "reopened"))
    quiet = quiet_needed(reopened, since, desk.settings.quiet_time, desk.settings.damping)
    if now < since + quiet.time:
        text = f"{quiet.why}; it resolves at {since + quiet.time:%H:%M:%S} UTC if it stays so"

        def wait(connection: Connection) -> None:
            book.write_line(connection, job.incident_id, now, "damped", text)

        return Outcome(State.READY, quiet.why, since + quiet.time - now, wait)

    def record(connection: Connection) -> None:
        incident = book.get(connection, job.incident_id)
        if incident.quiet_since == since and book.is_quiet(connection, incident.id):
            why = f"all alerts quiet for {format_duration(quiet.time)}"
            resolve(connection, desk.settings, incident, now, by=SYSTEM, why=why)

    return done(record=record)


def postmortem(connection: Connection, desk: Desk, incident_id: int) -> str:
    """The draft of the review as Markdown, from what is known by now."""
    incident = book.get(connection, incident_id)
    return desk.templates.render_postmortem(
        incident.view(desk.settings.external_url),
        book.alerts_of(connection, incident_id),
        book.timeline_of(connection, incident_id),
        _rollback(connection, incident_id),
        _deployment(connection, incident),
    )


async def draft(desk: Desk, job: Job) -> Outcome:
    """Write the draft into the folder for post-mortems; where none is configured, the API gives it."""
    folder = desk.settings.postmortems
    if folder is None:
        return done("no folder for post-mortems is configured")
    text = await desk.store.read(lambda connection: postmortem(connection, desk, job.incident_id))
    file = folder / f"incident-{job.incident_id}.md"
    try:
        _write(file, text)
    except OSError as error:
        return again(f"cannot write {file}: {error.strerror}", backoff(job.attempts))
    return done(
        str(file),
        lambda connection: book.write_line(
            connection, job.incident_id, desk.clock(), "postmortem", f"post-mortem drafted: {file.name}"
        ),
    )


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_suffix(".part")
    whole.write_text(text, encoding="utf-8")
    os.replace(whole, file)  # noqa: PTH105 - what readers see is always a whole file


def _rollback(connection: Connection, incident_id: int) -> RollbackView | None:
    query = select(rollbacks).where(rollbacks.c.incident_id == incident_id).order_by(rollbacks.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    took = row["finished_at"] - row["started_at"] if row["finished_at"] else None
    return RollbackView(row["from_version"], row["to_version"], row["state"], row["detail"], took)


def _deployment(connection: Connection, incident: Incident) -> DeploymentView | None:
    """The deployment before the incident."""
    found = ledger.before(connection, incident.service, incident.environment, incident.opened_at)
    return found.view() if found else None
