"""Runs of actions in the store: each begins at most once, is told to people, and how it ended is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from deploywatch import logs
from deploywatch.quantity import format_duration
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation import escalate
from deploywatch.receiver.executors import registry
from deploywatch.receiver.executors.plan import Means, Result
from deploywatch.receiver.incidents import kinds, store, timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.notify.queueing import tell
from deploywatch.receiver.settings.executors.plan import Plan
from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.action_schema import action_runs
from deploywatch.receiver.story import Event
from deploywatch.receiver.suppression import gate

log = logs.get("actions")


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that is written down and may now be carried out; `what` is the sentence for people."""

    id: int
    action: str
    what: str
    plan: Plan
    limit: timedelta
    started_at: datetime


Begin = Callable[[Connection], Begun | None]
After = Callable[[Connection], None]


def begin(
    connection: Connection, context: Context, job: Job, incident: Incident, plan: Plan, *, what: str, limit: timedelta
) -> Begun:
    """Write down that it begins, before it does."""
    now, shown = context.clock(), context.conceal(str(plan))
    row = {
        "action": job.kind,
        "incident_id": incident.id,
        "service": incident.service,
        "environment": incident.environment,
        # Unique in the table: a second run of the same job finds the first one's row and stops there.
        "key": job.key,
        "state": "running",
        "detail": shown[:2000],
        "started_at": now,
    }
    number = insert_id(connection, action_runs, row)
    timeline.write(connection, incident.id, now, kinds.of_action(job.kind, "started"), f"{what}: {shown}")
    return Begun(number, job.kind, what, plan, limit, now)


async def perform(context: Context, plan: Plan, limit: timedelta) -> Result:
    """Carry it out; how it went is told without secrets."""
    means = Means(context.http, context.clock, context.sleep, context.settings.commands.environment)
    result = await registry.perform(plan, means, limit)
    return replace(result, detail=context.conceal(result.detail))


async def carry_out(context: Context, job: Job, begin: Begin, after: After | None = None) -> Outcome:
    """Begin and carry out once, unless silenced; a run that was interrupted is not repeated, and people are told."""
    interrupted = await context.store.read(lambda connection: _interrupted(connection, job))
    if interrupted is not None:
        number = interrupted
        lost = Result(good=False, detail="the receiver stopped while it ran; it is not run again", known=False)
        return done(lost.detail, lambda c: _close(c, context, job, number, lost, what=job.kind, after=after))
    if held := await gate.hold_back(context, job):
        return held
    begun = await context.store.write(begin)
    if begun is None:
        return done()
    log.info("an action begins", action=begun.action, incident=job.incident_id, plan=context.conceal(str(begun.plan)))
    result = await perform(context, begun.plan, begun.limit)
    log.info("an action ended", action=begun.action, incident=job.incident_id, good=result.good, result=result.detail)
    return done(result.detail, lambda c: _close(c, context, job, begun.id, result, what=begun.what, after=after))


def refuse(
    connection: Connection, context: Context, incident: Incident, action: str, *, reason: str, detail: str
) -> None:
    """Say on the timeline and to people that an action is not done, and why."""
    now, text = context.clock(), f"{action} refused ({reason}): {detail}"
    timeline.write(connection, incident.id, now, kinds.of_action(action, "refused"), text)
    more = {"headline": f"{action.replace('_', ' ').capitalize()} refused"}
    tell(connection, context.settings, incident, Event.UPDATE, now, once=f"{action}:{reason}", note=text, more=more)


def begun_since(connection: Connection, action: str, since: datetime, *target: str) -> int:
    """How many runs of the action began after a time: of a target (service, environment), or in all."""
    query = select(func.count()).select_from(action_runs)
    query = query.where(action_runs.c.action == action, action_runs.c.started_at > since)
    if target:
        service, environment = target
        query = query.where(action_runs.c.service == service, action_runs.c.environment == environment)
    return connection.execute(query).scalar_one()


def last_begun(connection: Connection, action: str, service: str, environment: str) -> datetime | None:
    """When a run of the action last began on the target."""
    query = select(func.max(action_runs.c.started_at)).where(
        action_runs.c.action == action,
        action_runs.c.service == service,
        action_runs.c.environment == environment,
    )
    began: datetime | None = connection.execute(query).scalar()
    return began


def _interrupted(connection: Connection, job: Job) -> int | None:
    """The run that an earlier try of this very job began and did not see the end of."""
    query = select(action_runs.c.id).where(action_runs.c.key == job.key, action_runs.c.state == "running")
    number: int | None = connection.execute(query).scalar()
    return number


def _close(
    connection: Connection, context: Context, job: Job, number: int, result: Result, *, what: str, after: After | None
) -> None:
    now, incident = context.clock(), store.get(connection, job.incident_id)
    state = "good" if result.good else "failed" if result.known else "unknown"
    row = action_runs.c.id == number
    began = connection.execute(select(action_runs.c.started_at).where(row)).scalar_one()
    closed = {"state": state, "detail": result.detail[:2000], "finished_at": now}
    connection.execute(update(action_runs).where(row).values(**closed))
    how = {"good": "done", "failed": "failed", "unknown": "nobody knows whether it happened"}[state]
    headline = {"headline": f"{what[:1].upper()}{what[1:]}: {how}"}
    text = f"{what}: {how} after {format_duration(_whole(now - began))}: {result.detail}"
    timeline.write(connection, incident.id, now, kinds.of_action(job.kind, state), text)
    tell(
        connection, context.settings, incident, Event.UPDATE, now, once=f"{job.kind}:{number}", note=text, more=headline
    )
    # An action that failed is a reason to wake somebody: it was meant to spare them that.
    if not result.good:
        escalate.at_once(connection, context.settings, incident, now, why=text, once=f"{job.kind}:{number}")
    if after is not None:
        after(connection)


def _whole(time: timedelta) -> timedelta:
    return timedelta(seconds=int(time.total_seconds()))
