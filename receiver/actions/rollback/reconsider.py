"""Decides again about a rollback that was refused, as soon as the reason for that does not hold any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from deploywatch.receiver.actions.rollback import planning
from deploywatch.receiver.actions.rollback.history import ROLLBACK, situation
from deploywatch.receiver.actions.rollback.planning import Planned
from deploywatch.receiver.actions.rollback.situation import FINAL, Refusal, Refused
from deploywatch.receiver.actions.target_lock import serial_key
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store, timeline, urgency
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob, State
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, done, retry
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.suppression import gate

KIND = "reconsider"
# Refusals end by time (cooldown, cap) or by an event that asks at once; this is for the former.
_LOOK = timedelta(seconds=30)
# Only the configuration or the ledger changes these, and both ask at once.
_RARELY = timedelta(hours=1)
DRY_RUN = "dry_run"
"""What a decision that was only announced waits with for another mode."""
_BY_EVENT = frozenset({Refusal.NO_TARGET, Refusal.UNSAFE_VALUE, DRY_RUN})


def wait(connection: Connection, incident: Incident, decided: Job, refusal: str, now: datetime) -> None:
    """Queue a check of the refusal that is repeated while the incident goes on."""
    job = NewJob(
        kind=KIND,
        key=f"{KIND}:{decided.key}",
        # A key of its own: in the queue of the rollbacks themselves it would wait behind the one that it is about.
        serial_key=_serial_key(incident.service, incident.environment),
        run_at=now + _interval(refusal),
        incident_id=incident.id,
        payload={"asked": dict(decided.payload), "key": decided.key, "refusal": refusal},
    )
    enqueue(connection, now, job)


def look_now(connection: Connection, service: str, environment: str, now: datetime) -> None:
    """Have the refused rollbacks of a target checked at once, because the deployment ledger has changed."""
    waiting = (jobs.c.kind == KIND, jobs.c.serial_key == _serial_key(service, environment), jobs.c.state == State.READY)
    connection.execute(update(jobs).where(*waiting, jobs.c.run_at > now).values(run_at=now))


def look_everywhere(connection: Connection, now: datetime) -> None:
    """Have every refused rollback checked at once, because the configuration may have changed."""
    waiting = (jobs.c.kind == KIND, jobs.c.state == State.READY, jobs.c.run_at > now)
    connection.execute(update(jobs).where(*waiting).values(run_at=now))


def _interval(refusal: str) -> timedelta:
    return _RARELY if refusal in _BY_EVENT else _LOOK


async def handle(context: Context, job: Job) -> Outcome:
    """Queue the decision again, after the usual delay, once it would come out otherwise."""
    now, refusal = context.clock(), job.payload["refusal"]
    incident, ruling, reason = await context.store.read(lambda c: _look(c, context, job, now))
    if not ruling.opens:
        return ruling.outcome()
    if reason == refusal:
        return retry(refusal, _interval(refusal))
    # It would be refused, and in a way that no later look changes.
    if reason in FINAL:
        return done(f"another decision: {reason}")
    why = f"{refusal} does not hold any more"
    if refusal == DRY_RUN:
        why = "it was only announced, and the mode is another one"
    text = f"{why}: whether to roll back is decided again"

    def record(connection: Connection) -> None:
        timeline.write(connection, incident.id, now, Kind.ROLLBACK_RECONSIDERED, text)
        enqueue(connection, now, _decision(context, job, incident, now))

    return done(text, record)


def _look(connection: Connection, context: Context, job: Job, now: datetime) -> tuple[Incident, gate.Ruling, str]:
    """The incident, whether anything may be done for it, and why it would be refused now; empty when it would not."""
    settings, refusal = context.settings, job.payload["refusal"]
    incident = store.get(connection, job.incident_id)
    # Whether it may act at all is the gate's to say, here as everywhere; the brakes come after that.
    ruling = gate.decide(
        incident, window=None, silence=None, asker=gate.Asker.ACTS, now=now, quiet_time=settings.quiet_time
    )
    at = situation(connection, settings, incident, now, fingerprint=job.payload["asked"].get("fingerprint", ""))
    decision = planning.decide(at, incident, settings.rollback)
    # What was only announced waits for another mode, and any brake that holds meanwhile is no news.
    if refusal == DRY_RUN and not (isinstance(decision, Refused) and decision.reason in FINAL):
        acts = isinstance(decision, Planned) and decision.go.mode != "dry-run"
        return incident, ruling, "" if acts else DRY_RUN
    if isinstance(decision, Refused):
        return incident, ruling, decision.reason
    # An alert that joined has had it queued already: that decision is this one.
    return incident, ruling, refusal if _is_queued(connection, incident.id) else ""


def _decision(context: Context, job: Job, incident: Incident, now: datetime) -> NewJob:
    return NewJob(
        kind=ROLLBACK,
        key=f"{job.payload['key']}:{job.id}",
        serial_key=serial_key(incident.service, incident.environment),
        # The usual delay, in which alerts that began with the same event still come in.
        run_at=now + context.settings.rollback.delay,
        urgency=urgency.of(incident.severity),
        incident_id=incident.id,
        payload=job.payload["asked"],
    )


def _is_queued(connection: Connection, incident_id: int) -> bool:
    """Whether a decision of the incident waits, or is being made."""
    waits = (jobs.c.kind == ROLLBACK, jobs.c.state.in_((State.READY, State.RUNNING)))
    return connection.execute(select(jobs.c.id).where(jobs.c.incident_id == incident_id, *waits)).first() is not None


def _serial_key(service: str, environment: str) -> str:
    return f"{KIND}:{service}/{environment}"
