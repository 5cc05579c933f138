"""One escalation step: calls those whose turn it is, while nobody has acknowledged."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, update

from deploywatch.quantity import format_duration
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation import escalate
from deploywatch.receiver.escalation.on_call import Reached, reach
from deploywatch.receiver.escalation.policy import Verdict, judge
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.notify.reason import with_context
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.response import cannot_wait
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.suppression import gate


async def handle(context: Context, job: Job) -> Outcome:
    """Escalate, once; an incident that is quiet, under maintenance or silenced is looked at again."""
    incident, ruling = await gate.ask(context, job.incident_id, asker=gate.Asker.TELLS)
    verdict = judge(incident, job.payload["severity"])
    if verdict not in (Verdict.DUE, Verdict.QUIET):
        return done(verdict)
    if not ruling.opens:
        return ruling.outcome()
    return await context.store.read(lambda connection: _decide(connection, context, job, incident))


def _decide(connection: Connection, context: Context, job: Job, incident: Incident) -> Outcome:
    settings, now, step = context.settings, context.clock(), job.payload
    # The time at which it was to happen, not now: a receiver that was down for an hour runs several steps at once, and
    # each must know what the others did since then.
    due = escalate.due_at(connection, job)
    reached = _reached(connection, settings, incident, step, now, due=due)
    if not reached.channels:
        return _wait(context, job, reached, now) if _may_wait(reached, step) else done(Verdict.NOBODY_NEW)

    def record(connection: Connection) -> None:
        fresh = store.get(connection, job.incident_id)
        # Asked again, because another escalation may have been due at the same time.
        reached = _reached(connection, settings, fresh, step, now, due=due)
        if judge(fresh, step["severity"]) is not Verdict.DUE or not reached.channels:
            return
        after = format_duration(timedelta(seconds=step["after"]))
        called = f"; {', '.join(reached.names)} called" if reached.names else ""
        away = "".join(f"; {gap}" for gap in reached.gaps)
        why = with_context(fresh, f"nobody acknowledged it within {after}{called}{away}")
        once = f"step:{step['severity']}{step.get('again', '')}:{step['number']}{step.get('part', '')}"
        escalate.at_once(connection, settings, fresh, now, why=why, once=once, channels=reached.channels)
        # Channels were told; the people whom it means sleep. The rest of the step waits for their hours.
        if _may_wait(reached, step):
            _say_waiting(connection, context, job, reached)
            _leave_people(connection, job)

    if _may_wait(reached, step):
        return Outcome(State.READY, Verdict.SENT, _begins(reached) - now, record)
    return done(Verdict.SENT, record)


def _may_wait(reached: Reached, step: Any) -> bool:
    """Whether the step has nobody to call at this hour, and somebody later; what cannot wait goes on at once."""
    return bool(reached.gaps) and not reached.names and not cannot_wait(step["severity"])


def _wait(context: Context, job: Job, reached: Reached, now: datetime) -> Outcome:
    """Take the step when somebody is on call again who is meant; the timeline says what it waits for."""

    def record(connection: Connection) -> None:
        _say_waiting(connection, context, job, reached)

    return Outcome(State.READY, Verdict.OUT_OF_HOURS, _begins(reached) - now, record)


def _begins(reached: Reached) -> datetime:
    return min(gap.until for gap in reached.gaps)


def _say_waiting(connection: Connection, context: Context, job: Job, reached: Reached) -> None:
    away = "; ".join(str(gap) for gap in reached.gaps)
    text = f"step {job.payload['number']} of the escalation waits: {away}"
    timeline.write(connection, job.incident_id, context.clock(), Kind.ESCALATION_WAITS, text)


def _leave_people(connection: Connection, job: Job) -> None:
    """Note on the job in hand that the step's own channels were told: what is left of it are those it calls."""
    payload = {**job.payload, "channels": [], "falls_back": False, "part": ":people"}
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(payload=payload))


def _reached(
    connection: Connection, settings: ReceiverConfig, incident: Incident, step: Any, now: datetime, *, due: datetime
) -> Reached:
    """Whom the step reaches: who heard another escalation since it was due is not told twice.

    One of the sources' steps reaches only those who were never escalated to before. What cannot wait reaches the
    escalation's channels where nobody who is meant is on call at this hour.
    """
    reached = reach(settings.oncall, step["who"], incident.service, now)
    channels = tuple(dict.fromkeys((*reached.channels, *step["channels"])))
    # What is critical reaches somebody at any hour, even where the schedule has a hole.
    if not channels and (step["falls_back"] or (reached.gaps and cannot_wait(step["severity"]))):
        channels = escalate.wanted(settings)
    channels = escalate.unheard(connection, incident, channels, due)
    if not step["repeats"]:
        before = escalate.reached(connection, incident.id)
        channels = tuple(name for name in channels if name not in before)
    return replace(reached, channels=tuple(name for name in channels if name in settings.channels))
