"""Roll back: decide, write down that it begins, run the command, write down how it ended; never blindly twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from deploywatch import logs
from deploywatch.receiver.actions.rollback import approval, planning, reconsider
from deploywatch.receiver.actions.rollback.history import ROLLBACK, situation, usual_duration
from deploywatch.receiver.actions.rollback.planning import Planned
from deploywatch.receiver.actions.rollback.situation import FINAL, Go, Refusal, Refused
from deploywatch.receiver.actions.runs import perform
from deploywatch.receiver.actions.target_lock import give_back, holder, serial_key, take
from deploywatch.receiver.alert import VERDICT, source_of
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.escalation import escalate
from deploywatch.receiver.incidents import store, timeline, urgency
from deploywatch.receiver.incidents.case import Case
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob, Urgency
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.notify.queueing import tell
from deploywatch.receiver.settings.actions.rollback import RollbackTarget
from deploywatch.receiver.settings.executors.plan import Plan
from deploywatch.receiver.settings.strategy import asked
from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.story import Event, RollbackView
from deploywatch.receiver.suppression import gate, holding

KIND, VERIFY = ROLLBACK, "verify"

# What was asked for is not needed, or people have been told why, or asked, already.
_HEARD = frozenset({Refusal.INCIDENT_OVER, Refusal.ALREADY_ROLLED_BACK, Refusal.UNDER_WAY, Refusal.APPROVAL_WAITING})

log = logs.get("rollback")


@dataclass(frozen=True, slots=True)
class Begun:
    """A rollback that is written down and may now run."""

    id: int
    deployment_id: int
    plan: Plan
    target: RollbackTarget
    view: RollbackView
    started_at: datetime


def queue(case: Case) -> None:
    """Queue the decision; each episode of an alert that asks for a rollback gets one, with its reason.

    Nothing is said of rollbacks where none are set up.
    """
    alert = case.alert
    if not case.settings.rollback.targets:
        return
    asker = "verdict" if source_of(alert.fingerprint) == VERDICT else "alerts"
    if asker not in case.settings.rollback.on:
        text = f"rollback refused: {alert.name} asks for one, and rollback.on does not name {asker}"
        case.note(Kind.ROLLBACK_REFUSED, text)
        return
    enqueue(case.connection, case.now, _job(case))


def _job(case: Case) -> NewJob:
    incident, alert = case.incident, case.alert
    return NewJob(
        kind=KIND,
        key=f"rollback:{incident.id}:{alert.fingerprint}:{alert.starts_at.isoformat()}",
        serial_key=serial_key(incident.service, incident.environment),
        run_at=case.now + case.settings.rollback.delay,
        urgency=urgency.of(incident.severity),
        incident_id=incident.id,
        payload={"alert": alert.name, "fingerprint": alert.fingerprint, "asked": ROLLBACK in asked(alert)},
    )


def queue_for(connection: Connection, incident: Incident, by: str, now: datetime) -> None:
    """Queue the decision because a person asks for it; the same brakes hold."""
    timeline.write(connection, incident.id, now, Kind.ROLLBACK_ASKED, "asked for a rollback", actor=by)
    job = NewJob(
        kind=KIND,
        key=f"rollback:{incident.id}:person:{now.isoformat()}",
        serial_key=serial_key(incident.service, incident.environment),
        run_at=now,
        urgency=Urgency.CRITICAL,
        incident_id=incident.id,
        payload={"alert": by},
    )
    enqueue(connection, now, job)


async def handle(context: Context, job: Job) -> Outcome:
    """Decide and, when the brakes allow it, run the command once."""
    # Before every brake: what was begun has begun, whatever is held or refused by now.
    interrupted = await context.store.read(lambda connection: _interrupted(connection, job))
    if interrupted is not None:
        number, why = interrupted["id"], "the receiver stopped while it ran"
        return done("unknown after a crash", lambda connection: _unknown(connection, context, number, why))
    if held := await gate.hold_back(context, job):
        return held
    # Committed before the command runs: after a crash at any moment later the row says that it may have happened.
    begun = await context.store.write(lambda connection: _begin(connection, context, job))
    if begun is None:
        return done()
    log.info("rollback begins", incident=job.incident_id, plan=context.conceal(str(begun.plan)))
    result = await perform(context, begun.plan, begun.target.timeout)
    log.info("rollback ended", incident=job.incident_id, good=result.good, result=result.detail)
    if result.good:
        return done(result.detail, lambda connection: _succeeded(connection, context, job, begun))
    # A time-out or a lost connection to CI: perhaps it goes on without us.
    if not result.known:
        return done(result.detail, lambda connection: _unknown(connection, context, begun.id, result.detail))
    return done(result.detail, lambda connection: _failed(connection, context, job, begun, result.detail))


def _interrupted(connection: Connection, job: Job) -> RowMapping | None:
    """The rollback that an earlier run of this job began and did not finish."""
    # The first try can have left nothing; this saves each rollback a query.
    if job.attempts == 1:
        return None
    query = select(rollbacks).where(rollbacks.c.incident_id == job.incident_id, rollbacks.c.state == "running")
    return connection.execute(query).mappings().first()


def _begin(connection: Connection, context: Context, job: Job) -> Begun | None:
    """Decide, and write down what follows; what is to run now comes back."""
    incident, now = store.get(connection, job.incident_id), context.clock()
    at = situation(connection, context.settings, incident, now, fingerprint=job.payload.get("fingerprint", ""))
    # Asked in the very transaction that writes "running": a window that was opened a moment ago still counts.
    hold = gate.look(connection, context.settings, incident, now, asker=gate.Asker.ACTS).hold
    if hold and not at.incident_over:
        holding.keep_job(connection, hold, incident, now, job=job, serial_key=serial_key(at.service, at.environment))
        return None
    decision = planning.decide(at, incident, context.settings.rollback)
    if isinstance(decision, Planned):
        return _go(connection, context, incident, job, decision.go, plan=decision.plan)
    _refuse(connection, context, incident, job, decision)
    return None


def _go(connection: Connection, context: Context, incident: Incident, job: Job, go: Go, *, plan: Plan) -> Begun | None:
    match go.mode:
        case "auto":
            return _start(connection, context, incident, job, go, plan=plan)
        case "approve":
            approval.ask(connection, context.settings, incident, go, context.clock(), would=context.conceal(str(plan)))
        case "dry-run":
            _dry_run(connection, context, incident, go, plan)
            reconsider.wait(connection, incident, job, reconsider.DRY_RUN, context.clock())
    return None


def _step(go: Go) -> str:
    bad = go.deployment
    return f"{bad.service} in {bad.environment} from {bad.version} to {go.to_version}"


def _dry_run(connection: Connection, context: Context, incident: Incident, go: Go, plan: Plan) -> None:
    now, view = context.clock(), RollbackView(go.deployment.version, go.to_version, detail=context.conceal(str(plan)))
    text = f"dry run: would roll back {_step(go)}: {context.conceal(str(plan))}"
    timeline.write(connection, incident.id, now, Kind.ROLLBACK_DRY_RUN, text)
    once, settings = go.deployment.id, context.settings
    tell(connection, settings, incident, Event.ROLLBACK_DRY_RUN, now, once=once, note=go.why, rollback=view)


def _start(
    connection: Connection, context: Context, incident: Incident, job: Job, go: Go, *, plan: Plan
) -> Begun | None:
    """Write down that it begins, before it does: the row and the lock are what no replica gets past."""
    now, bad = context.clock(), go.deployment
    # Scaling changes the same target, and takes the same lock.
    if not take(connection, bad.service, bad.environment, holder(bad.id), now):
        _refuse(connection, context, incident, job, Refused(Refusal.LOCKED, "another replica was faster"))
        return None
    row = {
        "deployment_id": bad.id,
        "incident_id": incident.id,
        "service": bad.service,
        "environment": bad.environment,
        "from_version": bad.version,
        "to_version": go.to_version,
        "state": "running",
        "detail": "",
        "started_at": now,
    }
    number = insert_id(connection, rollbacks, row)
    view = RollbackView(bad.version, go.to_version, detail=context.conceal(str(plan)))
    timeline.write(connection, incident.id, now, Kind.ROLLBACK_STARTED, f"rollback started: {_step(go)}")
    more = {"eta": usual_duration(connection, bad.service, bad.environment)}
    asked = go.why or f"asked for by {job.payload['alert']}"
    settings = context.settings
    tell(connection, settings, incident, Event.ROLLBACK_STARTED, now, once=number, note=asked, rollback=view, more=more)
    return Begun(number, bad.id, plan, go.target, view, now)


def _refuse(connection: Connection, context: Context, incident: Incident, job: Job, refused: Refused) -> None:
    now = context.clock()
    text = f"rollback refused ({refused.reason}): {refused.sentence}; asked for by {job.payload['alert']}"
    timeline.write(connection, incident.id, now, Kind.ROLLBACK_REFUSED, text)
    # For the message alone: the refusal was decided on the situation, not on this.
    latest = ledger.latest(connection, incident.service, incident.environment)
    if refused.reason not in FINAL:
        reconsider.wait(connection, incident, job, refused.reason, now)
    # That a service is no target of rollbacks is news only where an alert asks for one by name.
    if refused.reason in _HEARD or (refused.reason is Refusal.NO_TARGET and not job.payload.get("asked", True)):
        return
    view = RollbackView(
        from_version=latest.version if latest else "",
        to_version=(latest.previous_version or "") if latest else "",
        reason=refused.reason,
        detail=refused.sentence,
    )
    # Of the next deployment it is news again.
    once = f"{refused.reason}:{latest.id if latest else ''}"
    tell(connection, context.settings, incident, Event.ROLLBACK_REFUSED, now, once=once, rollback=view)


def _succeeded(connection: Connection, context: Context, job: Job, begun: Begun) -> None:
    now = context.clock()
    _close(connection, begun.id, "verifying", "", now)
    row = connection.execute(select(rollbacks).where(rollbacks.c.id == begun.id)).mappings().one()
    text = f"rollback command succeeded; verifying that {row['service']} is healthy with {row['to_version']}"
    timeline.write(connection, job.incident_id, now, Kind.ROLLBACK_RAN, text)
    queue_verification(connection, row, now)


def _failed(connection: Connection, context: Context, job: Job, begun: Begun, detail: str) -> None:
    now, incident = context.clock(), store.get(connection, job.incident_id)
    _close(connection, begun.id, "failed", detail, now)
    # Not after a success: nobody else may change the target until it is verified.
    give_back(connection, incident.service, incident.environment, holder(begun.deployment_id))
    view = RollbackView(begun.view.from_version, begun.view.to_version, "command", detail, now - begun.started_at)
    timeline.write(connection, incident.id, now, Kind.ROLLBACK_FAILED, f"rollback failed: {detail}")
    tell(connection, context.settings, incident, Event.ROLLBACK_FAILED, now, once=begun.id, rollback=view)
    why = f"the rollback to {begun.view.to_version} failed"
    escalate.at_once(connection, context.settings, incident, now, why=why, once=f"rollback:{begun.id}")


def _unknown(connection: Connection, context: Context, number: int, why: str) -> None:
    """Mark a rollback as unknown: it is never run again, and the service's health is verified."""
    row = connection.execute(select(rollbacks).where(rollbacks.c.id == number)).mappings().one()
    now, incident = context.clock(), store.get(connection, row["incident_id"])
    _close(connection, number, "unknown", why, now)
    detail = f"{why}; it is not run again, the result is being checked"
    view = RollbackView(row["from_version"], row["to_version"], "interrupted", detail)
    timeline.write(connection, incident.id, now, Kind.ROLLBACK_UNKNOWN, f"rollback unknown: {detail}")
    tell(connection, context.settings, incident, Event.ROLLBACK_UNKNOWN, now, once=number, rollback=view)
    reason = f"whether the rollback to {row['to_version']} happened is unknown"
    escalate.at_once(connection, context.settings, incident, now, why=reason, once=f"rollback:{number}")
    queue_verification(connection, row, now)


def queue_verification(connection: Connection, row: RowMapping, now: datetime) -> None:
    """Have the service's health looked at until it is proven good or the time is over."""
    job = NewJob(
        kind=VERIFY,
        key=f"verify:{row['id']}",
        serial_key=serial_key(row["service"], row["environment"]),
        run_at=now,
        urgency=Urgency.CRITICAL,
        incident_id=row["incident_id"],
        payload={"rollback": row["id"]},
    )
    enqueue(connection, now, job)


def _close(connection: Connection, number: int, state: str, detail: str, now: datetime) -> None:
    values: dict[str, Any] = {"state": state, "detail": detail[:2000], "finished_at": now}
    connection.execute(update(rollbacks).where(rollbacks.c.id == number).values(**values))
