"""How an incident ends: its alerts are quiet for a while, or a person says so; then the review is drafted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, select

from deploywatch.quantity import format_duration
from deploywatch.receiver.actions.posting import queue_ends
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.escalation import timers
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit
from deploywatch.receiver.incidents import recheck, store, timeline
from deploywatch.receiver.incidents.alerts import alert_store, alert_views, liveness
from deploywatch.receiver.incidents.incident import Incident, Status
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.incidents.timeline import SYSTEM
from deploywatch.receiver.jobs.job import Job, NewJob, State, Urgency
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import SOONEST, Outcome, backoff, done, retry
from deploywatch.receiver.lifecycle import durations
from deploywatch.receiver.lifecycle.flapping import quiet_needed
from deploywatch.receiver.notify.queueing import heard, tell
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.causes import Cause
from deploywatch.receiver.settings.upstream import Watchdog
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.story import DeploymentView, Event, RollbackView

# A watchdog is repeated each minute or so; asking more often would learn nothing.
_LOOK_AGAIN = timedelta(seconds=30)
SETTLE, POSTMORTEM = "settle", "postmortem"


def watch_quiet(connection: Connection, incident: Incident, now: datetime, quiet_time: timedelta) -> Incident:
    """Begin the quiet time of an incident whose last alert has resolved."""
    quiet = replace(incident, quiet_since=now)
    store.save(connection, quiet)
    text = f"every alert has resolved; resolves in {format_duration(quiet_time)} if it stays quiet"
    timeline.write(connection, incident.id, now, Kind.QUIET, text)
    job = NewJob(
        kind=SETTLE,
        # A key for each quiet time: one that fired again in between has another, and the older job finds that it is
        # not meant.
        key=f"settle:{incident.id}:{now.isoformat()}",
        serial_key=f"settle:{incident.id}",
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
    # A person and the quiet time may end it in the same second.
    if incident.status is Status.RESOLVED:
        return incident
    over = replace(incident, resolved_at=now, resolved_by=by)
    store.save(connection, over)
    durations.resolved(connection, over)
    timeline.write(connection, incident.id, now, Kind.RESOLVED, f"resolved: {why}", actor=by)
    emit(connection, settings, facts.incident_resolved(over, now, why), now)
    more = {"cause": f"probably {over.cause}: {over.cause_why}"} if over.cause and over.cause != Cause.UNKNOWN else None
    # Only who heard that it began hears that it ended; to anybody else the end would be a riddle.
    tell(connection, settings, over, Event.RESOLVED, now, note=why, channels=heard(connection, over), more=more)
    # A yes that comes after the end must not roll anything back.
    approval.withdraw(connection, over.id, now)
    queue_ends(connection, settings, over, now)
    draft = NewJob(
        kind=POSTMORTEM,
        urgency=Urgency.LOW,
        key=f"postmortem:{incident.id}",
        serial_key=f"postmortem:{incident.id}",
        run_at=now,
        incident_id=incident.id,
    )
    enqueue(connection, now, draft)
    timers.review(connection, settings, over, now)
    return over


async def settle(context: Context, job: Job) -> Outcome:
    """Resolve the incident when it has been quiet ever since this job was queued, and for as long as it must be."""
    since, now = datetime.fromisoformat(job.payload["quiet_since"]), context.clock()
    incident, reopened, is_pending = await context.store.read_together(lambda c: _quiet_facts(c, job.incident_id))
    # It fired again, and perhaps is quiet once more: the job of that later quiet time decides.
    if incident.quiet_since != since:
        return done("it fired again")
    quiet = quiet_needed(reopened, since, context.settings.quiet_time, context.settings.damping)
    if now < since + quiet.time:
        text = f"{quiet.why}; it resolves at {since + quiet.time:%H:%M:%S} UTC if it stays so"

        def wait(connection: Connection) -> None:
            timeline.write(connection, job.incident_id, now, Kind.DAMPED, text)

        return Outcome(State.READY, quiet.why, since + quiet.time - now, wait)

    if watchdog := context.settings.upstream.watchdog:
        certain = await context.store.read(lambda connection: _certain_since(connection, watchdog, incident.id, now))
        if certain is None:
            return _cannot_tell(context, incident, f"{watchdog.alert} is silent")
        if now < certain + quiet.time:
            return retry(f"{watchdog.alert} was silent meanwhile", certain + quiet.time - now)

    # An alert fired within a minute of its resolve: whether that was late or true is known only then.
    if is_pending:
        return retry("one of its alerts may fire on", SOONEST)

    def record(connection: Connection) -> None:
        incident = store.get(connection, job.incident_id)
        # Asked in the transaction that ends it: an alert may have come while the store was read.
        if incident.quiet_since == since and alert_store.is_quiet(connection, incident.id):
            why = f"all alerts quiet for {format_duration(quiet.time)}"
            resolve(connection, context.settings, incident, now, by=SYSTEM, why=why)

    return done(record=record)


def _quiet_facts(connection: Connection, incident_id: int) -> tuple[Incident, Sequence[datetime], bool]:
    """The incident, when it was reopened, and whether one of its alerts may fire on."""
    reopened = timeline.moments(connection, incident_id, Kind.REOPENED)
    return store.get(connection, incident_id), reopened, recheck.is_pending(connection, incident_id)


def _certain_since(connection: Connection, watchdog: Watchdog, incident_id: int, now: datetime) -> datetime | None:
    known = alert_store.fingerprints(connection, incident_id)
    return liveness.certain_since(connection, watchdog.alert, watchdog.within, known, now)


def _cannot_tell(context: Context, incident: Incident, why: str) -> Outcome:
    """Postpone the end: alerts of a Prometheus that evaluates nothing time out, and resolve while they may fire on."""
    text = (
        f"{why}, so nobody can tell whether it is over; it resolves once the watchdog is heard again, if it stays quiet"
    )

    def record(connection: Connection) -> None:
        # Said once for each quiet time, not each half minute.
        waits = timeline.moments(connection, incident.id, Kind.RESOLVE_WAITS)
        if not incident.quiet_since or not waits or waits[-1] < incident.quiet_since:
            timeline.write(connection, incident.id, context.clock(), Kind.RESOLVE_WAITS, text)

    return Outcome(State.READY, why, _LOOK_AGAIN, record)


def postmortem(connection: Connection, context: Context, incident_id: int) -> str:
    """The draft of the review as Markdown, from what is known by now."""
    incident = store.get(connection, incident_id)
    return context.templates.render_postmortem(
        incident.view(context.settings.external_url),
        alert_views.views(connection, incident_id),
        timeline.entries(connection, incident_id),
        _rollback(connection, incident_id),
        _deployment(connection, incident),
    )


async def draft(context: Context, job: Job) -> Outcome:
    """Write the draft into the folder for post-mortems; where none is configured, the API gives it."""
    folder = context.settings.postmortems
    if folder is None:
        return done("no folder for post-mortems is configured")
    text = await context.store.read(lambda connection: postmortem(connection, context, job.incident_id))
    file = folder / f"incident-{job.incident_id}.md"
    try:
        write_draft(file, text)
    except OSError as error:
        return retry(f"cannot write {file}: {error.strerror}", backoff(job.attempts))
    return done(
        str(file),
        lambda connection: timeline.write(
            connection, job.incident_id, context.clock(), Kind.POSTMORTEM, f"post-mortem drafted: {file.name}"
        ),
    )


def write_draft(file: Path, text: str) -> None:
    """Write the file whole, for its owner and group alone, whatever the umask. Raises OSError."""
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    # Beside it, so that the rename stays within one file system and is atomic.
    whole = file.with_suffix(".part")
    whole.unlink(missing_ok=True)
    with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as part:
        part.write(text)
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
    deployment = ledger.before(connection, incident.service, incident.environment, incident.opened_at)
    return deployment.view() if deployment else None
