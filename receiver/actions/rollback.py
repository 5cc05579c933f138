"""Roll back: decide, write down that it begins, run the command, write down how it ended; never blindly twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, update

from deploywatch import logs
from receiver.actions import brakes, command, escalate
from receiver.actions.brakes import Go, Refusal, Refused, Situation
from receiver.actions.notify import tell
from receiver.config import ReceiverConfig, RollbackTarget
from receiver.deployments import ledger
from receiver.desk import Desk
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.incidents.rules import Alert
from receiver.jobs import Job, NewJob, Outcome, done, enqueue
from receiver.messages import Event, RollbackView
from receiver.store import insert_id
from receiver.store.schema import rollbacks

KIND, VERIFY = "rollback", "verify"

log = logs.get("rollback")


@dataclass(frozen=True, slots=True)
class Begun:
    """A rollback that is written down and may now run."""

    id: int
    argv: list[str]
    target: RollbackTarget
    view: RollbackView
    started_at: datetime


def queue(connection: Connection, settings: ReceiverConfig, incident: Incident, alert: Alert, now: datetime) -> None:
    """Queue the decision; each episode of an alert that asks for a rollback gets one, with its reason."""
    job = NewJob(
        kind=KIND,
        key=f"rollback:{incident.id}:{alert.fingerprint}:{alert.starts_at.isoformat()}",
        lane=f"rollback:{incident.service}/{incident.environment}",
        run_at=now + settings.rollback.delay,
        incident_id=incident.id,
        payload={"alert": alert.name},
    )
    enqueue(connection, now, job)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Decide and, when the brakes allow it, run the command once."""
    interrupted = await desk.store.read(lambda connection: _interrupted(connection, job))
    if interrupted is not None:
        row = interrupted
        return done("unknown after a crash", lambda connection: _unknown(connection, desk, row))
    begun = await desk.store.write(lambda connection: _begin(connection, desk, job))
    if begun is None:
        return done()
    log.info("rollback begins", incident=job.incident_id, command=" ".join(begun.argv))
    ran = await command.run(begun.argv, begun.target.timeout)
    log.info("rollback command ended", incident=job.incident_id, result=str(ran))
    if ran.good:
        return done(str(ran), lambda connection: _succeeded(connection, desk, job, begun))
    return done(str(ran), lambda connection: _failed(connection, desk, job, begun, ran))


def _interrupted(connection: Connection, job: Job) -> RowMapping | None:
    """The rollback that an earlier run of this very job began and did not see the end of."""
    if job.attempts == 1:
        return None
    query = select(rollbacks).where(rollbacks.c.incident_id == job.incident_id, rollbacks.c.state == "running")
    return connection.execute(query).mappings().first()


def _begin(connection: Connection, desk: Desk, job: Job) -> Begun | None:
    incident, now = book.get(connection, job.incident_id), desk.clock()
    decision = brakes.decide(_situation(connection, incident, now), desk.settings.rollback)
    if isinstance(decision, Go):
        try:
            argv = command.fill(decision.target.command, _values(decision))
        except ValueError as error:
            decision = Refused(Refusal.UNSAFE_VALUE, str(error))
        else:
            return _start(connection, desk, incident, decision, argv)
    _refuse(connection, desk, incident, job, decision)
    return None


def _situation(connection: Connection, incident: Incident, now: datetime) -> Situation:
    last = select(func.max(rollbacks.c.started_at)).where(
        rollbacks.c.service == incident.service, rollbacks.c.environment == incident.environment
    )
    deployment = ledger.latest(connection, incident.service, incident.environment)
    tried = select(rollbacks.c.state).where(rollbacks.c.deployment_id == (deployment.id if deployment else None))
    return Situation(
        now=now,
        service=incident.service,
        environment=incident.environment,
        incident_over=incident.resolved_at is not None or incident.quiet_since is not None,
        deployment=deployment,
        tried=connection.execute(tried).scalar() or "",
        last_rollback=connection.execute(last).scalar(),
    )


def _values(go: Go) -> dict[str, str]:
    return {
        "service": go.deployment.service,
        "environment": go.deployment.environment,
        "from_version": go.deployment.version,
        "to_version": go.to_version,
    }


def _start(connection: Connection, desk: Desk, incident: Incident, go: Go, argv: list[str]) -> Begun | None:
    now, bad = desk.clock(), go.deployment
    step = f"{bad.service} in {bad.environment} from {bad.version} to {go.to_version}"
    view = RollbackView(bad.version, go.to_version, detail=" ".join(argv))
    if go.dry_run:
        book.write_line(
            connection, incident.id, now, "rollback_dry_run", f"dry run: would roll back {step}: {view.detail}"
        )
        tell(connection, desk.settings, incident, Event.ROLLBACK_DRY_RUN, now, once=bad.id, rollback=view)
        return None
    number = insert_id(
        connection,
        rollbacks,
        {
            "deployment_id": bad.id,
            "incident_id": incident.id,
            "service": bad.service,
            "environment": bad.environment,
            "from_version": bad.version,
            "to_version": go.to_version,
            "state": "running",
            "detail": "",
            "started_at": now,
        },
    )
    book.write_line(connection, incident.id, now, "rollback_started", f"rollback started: {step}")
    tell(connection, desk.settings, incident, Event.ROLLBACK_STARTED, now, once=number, rollback=view)
    return Begun(number, argv, go.target, view, now)


def _refuse(connection: Connection, desk: Desk, incident: Incident, job: Job, refused: Refused) -> None:
    now = desk.clock()
    text = f"rollback refused ({refused.reason}): {refused.detail}; asked for by {job.payload['alert']}"
    book.write_line(connection, incident.id, now, "rollback_refused", text)
    if refused.reason in (Refusal.INCIDENT_OVER, Refusal.ALREADY_ROLLED_BACK):
        return  # what was asked for is not needed, and people have heard why
    latest = ledger.latest(connection, incident.service, incident.environment)
    view = RollbackView(
        from_version=latest.version if latest else "",
        to_version=(latest.previous_version or "") if latest else "",
        reason=refused.reason,
        detail=refused.detail,
    )
    tell(connection, desk.settings, incident, Event.ROLLBACK_REFUSED, now, once=refused.reason, rollback=view)


def _succeeded(connection: Connection, desk: Desk, job: Job, begun: Begun) -> None:
    now = desk.clock()
    _close(connection, begun.id, "verifying", "", now)
    row = connection.execute(select(rollbacks).where(rollbacks.c.id == begun.id)).mappings().one()
    ledger.undone(connection, row["deployment_id"], row["to_version"], begun.started_at, now)
    text = f"rollback command succeeded; verifying that {row['service']} is healthy with {row['to_version']}"
    book.write_line(connection, job.incident_id, now, "rollback_ran", text)
    queue_verification(connection, row, now)


def _failed(connection: Connection, desk: Desk, job: Job, begun: Begun, ran: command.Ran) -> None:
    now, incident = desk.clock(), book.get(connection, job.incident_id)
    _close(connection, begun.id, "failed", str(ran), now)
    view = RollbackView(begun.view.from_version, begun.view.to_version, "command", str(ran), now - begun.started_at)
    book.write_line(connection, incident.id, now, "rollback_failed", f"rollback failed: {ran}")
    tell(connection, desk.settings, incident, Event.ROLLBACK_FAILED, now, once=begun.id, rollback=view)
    why = f"the rollback to {begun.view.to_version} failed"
    escalate.at_once(connection, desk.settings, incident, now, why=why, once=f"rollback:{begun.id}")


def _unknown(connection: Connection, desk: Desk, row: RowMapping) -> None:
    """The receiver died while the command ran: say so, never run it again, and look whether it worked."""
    now, incident = desk.clock(), book.get(connection, row["incident_id"])
    _close(connection, row["id"], "unknown", "the receiver stopped while the command ran", now)
    detail = "the receiver stopped while the command ran; it is not run again, the result is being checked"
    view = RollbackView(row["from_version"], row["to_version"], "interrupted", detail)
    book.write_line(connection, incident.id, now, "rollback_unknown", f"rollback unknown: {detail}")
    tell(connection, desk.settings, incident, Event.ROLLBACK_UNKNOWN, now, once=row["id"], rollback=view)
    why = f"whether the rollback to {row['to_version']} happened is unknown"
    escalate.at_once(connection, desk.settings, incident, now, why=why, once=f"rollback:{row['id']}")
    queue_verification(connection, row, now)


def queue_verification(connection: Connection, row: RowMapping, now: datetime) -> None:
    """Have the service's health looked at until it is proven good or the time is over."""
    job = NewJob(
        kind=VERIFY,
        key=f"verify:{row['id']}",
        lane=f"rollback:{row['service']}/{row['environment']}",
        run_at=now,
        incident_id=row["incident_id"],
        payload={"rollback": row["id"]},
    )
    enqueue(connection, now, job)


def _close(connection: Connection, number: int, state: str, detail: str, now: datetime) -> None:
    values: dict[str, Any] = {"state": state, "detail": detail[:2000], "finished_at": now}
    connection.execute(update(rollbacks).where(rollbacks.c.id == number).values(**values))
