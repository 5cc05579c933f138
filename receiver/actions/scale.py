"""Scale: run more of the service that is in trouble, with brakes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from deploywatch.plurals import number_of
from deploywatch.receiver.actions import runs, target_lock
from deploywatch.receiver.actions.rollback.situation import HOUR
from deploywatch.receiver.actions.runs import Begun
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.settings.actions.scale import Scale, ScaleTarget
from deploywatch.receiver.suppression import gate, holding

KIND = "scale"


class Refusal(StrEnum):
    """Why a service was not scaled."""

    INCIDENT_OVER = "incident_over"
    NO_TARGET = "no_target"
    LOCKED = "locked"
    COOLDOWN = "cooldown"
    CAP_OF_TARGET = "cap_of_target"
    CAP_IN_ALL = "cap_in_all"
    UNSAFE_VALUE = "unsafe_value"


ADVICE: Mapping[Refusal, str] = {
    Refusal.INCIDENT_OVER: "nothing needs to be done",
    Refusal.NO_TARGET: "add one to scale.targets, and scale by hand until then",
    Refusal.LOCKED: "wait until that is over, and scale by hand if it must be",
    Refusal.COOLDOWN: "look whether the last scaling helps, and scale by hand if it must be",
    Refusal.CAP_OF_TARGET: "find out what uses it up, and scale by hand if it must be",
    Refusal.CAP_IN_ALL: "look for a cause that they share, and scale by hand if it must be",
    Refusal.UNSAFE_VALUE: "scale by hand, and give the service a plain name",
}
"""What a person can do about each refusal; part of its sentence."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision is made from; `of_target` and `in_all` count what began within the last hour."""

    now: datetime
    service: str
    environment: str
    incident_over: bool
    last: datetime | None = None
    of_target: int = 0
    in_all: int = 0
    held_by: str = ""


@dataclass(frozen=True, slots=True)
class Go:
    """Scale to the target's replicas; only say so, in a dry run."""

    target: ScaleTarget
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not scale; `detail` says why."""

    reason: Refusal
    detail: str

    @property
    def sentence(self) -> str:
        """Why not, and what a person can do about it."""
        return f"{self.detail}; {ADVICE[self.reason]}"


def decide(at: Situation, settings: Scale) -> Go | Refused:
    """Check the brakes one after another; the first that holds names the refusal."""
    where, caps = f"{at.service} in {at.environment}", settings.caps
    target = settings.target(at.service, at.environment)
    if at.incident_over:
        return Refused(Refusal.INCIDENT_OVER, "every alert has resolved meanwhile, or somebody ended the incident")
    if target is None:
        return Refused(Refusal.NO_TARGET, f"no scale target is configured for {where}")
    # A rollback in between would start from another number of replicas than it ends with.
    if at.held_by:
        return Refused(Refusal.LOCKED, f"{where} is in the hands of {at.held_by}")
    if at.last and at.now < at.last + settings.cooldown:
        return Refused(Refusal.COOLDOWN, f"cooldown until {at.last + settings.cooldown:%H:%M:%S} UTC")
    if at.of_target >= caps.target:
        detail = (
            f"{where} was scaled {number_of(at.of_target, 'time')} within an hour; at most {caps.target} are allowed"
        )
        return Refused(Refusal.CAP_OF_TARGET, detail)
    if at.in_all >= caps.total:
        detail = f"services were scaled {number_of(at.in_all, 'time')} within an hour; at most {caps.total} are allowed"
        return Refused(Refusal.CAP_IN_ALL, detail)
    return Go(target, dry_run=settings.mode != "auto")


def queue(case: Case) -> None:
    """Queue the decision, one after another with all that changes the target."""
    case.queue_once(KIND, serial_key=target_lock.serial_key(case.incident.service, case.incident.environment))


async def handle(context: Context, job: Job) -> Outcome:
    """Decide and, when the brakes allow it, scale once."""

    def unlock(connection: Connection) -> None:
        incident = store.get(connection, job.incident_id)
        target_lock.give_back(connection, incident.service, incident.environment, _holder(job))

    return await runs.carry_out(context, job, lambda connection: _begin(connection, context, job), unlock)


def _begin(connection: Connection, context: Context, job: Job) -> Begun | None:
    incident, now = store.get(connection, job.incident_id), context.clock()
    at = _situation(connection, incident, now)
    hold = gate.look(connection, context.settings, incident, now, asker=gate.Asker.ACTS).hold
    # What is over is refused below and not kept: a window's end would find nothing to do.
    if hold and not at.incident_over:
        serial_key = target_lock.serial_key(at.service, at.environment)
        holding.keep_job(connection, hold, incident, now, job=job, serial_key=serial_key)
        return None
    decision = decide(at, context.settings.scale)
    if isinstance(decision, Go):
        target = decision.target
        where = {"service": incident.service, "environment": incident.environment}
        try:
            plan = target.plan({**where, "replicas": str(target.replicas), "id": f"deploywatch-scale-{job.id}"})
        except ValueError as error:
            decision = Refused(Refusal.UNSAFE_VALUE, str(error))
        else:
            what = f"scaling {incident.service} in {incident.environment} to {target.replicas}"
            if decision.dry_run:
                timeline.write(
                    connection, incident.id, now, Kind.SCALE_DRY_RUN, f"dry run: {what}: {context.conceal(str(plan))}"
                )
                return None
            # Last, in the transaction that begins the run: until here nothing had to be given back.
            if target_lock.take(connection, incident.service, incident.environment, _holder(job), now):
                return runs.begin(connection, context, job, incident, plan, what=what, limit=target.timeout)
            decision = Refused(Refusal.LOCKED, "another replica was faster")
    runs.refuse(connection, context, incident, KIND, reason=decision.reason, detail=decision.sentence)
    return None


def _situation(connection: Connection, incident: Incident, now: datetime) -> Situation:
    target = (incident.service, incident.environment)
    return Situation(
        now=now,
        service=incident.service,
        environment=incident.environment,
        incident_over=incident.resolved_at is not None or incident.quiet_since is not None,
        last=runs.last_begun(connection, KIND, *target),
        of_target=runs.begun_since(connection, KIND, now - HOUR, *target),
        in_all=runs.begun_since(connection, KIND, now - HOUR),
        held_by=target_lock.held_by(connection, *target),
    )


def _holder(job: Job) -> str:
    return f"the scaling of incident {job.incident_id}, job {job.id}"


ACTION = Action("scale", queue, {KIND: handle})
