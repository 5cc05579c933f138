"""Reminds people: nobody responded in time, a status update is due, a review is not done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.quantity import format_duration
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation.on_call import reach
from deploywatch.receiver.escalation.policy import Verdict, judge
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.incidents.store import Incident
from deploywatch.receiver.jobs.queue import Job, Outcome, State, done, retry
from deploywatch.receiver.messages import Event
from deploywatch.receiver.notify.notify import heard, tell
from deploywatch.receiver.notify.reason import with_context
from deploywatch.receiver.settings.on_call import PRIMARY, TEAM_LEAD
from deploywatch.receiver.suppression import holding, silenced

_SOONEST = timedelta(seconds=1)


async def respond(context: Context, job: Job) -> Outcome:
    """Nobody has acknowledged within the deadline: remind those who heard, and who is on call."""
    incident, hold = await _look(context, job)
    verdict = judge(incident, job.payload["severity"])
    if verdict is Verdict.QUIET:
        return retry(verdict, max(context.settings.quiet_time, _SOONEST))
    if verdict is not Verdict.DUE:
        return done(verdict)
    if hold := hold or await silenced.pause(context, incident):
        return retry("held back", hold)

    def record(connection: Connection) -> None:
        fresh, now = store.get(connection, job.incident_id), context.clock()
        if judge(fresh, job.payload["severity"]) is not Verdict.DUE:
            return
        within = format_duration(timedelta(seconds=job.payload["within"]))
        text = f"nobody acknowledged it within {within}"
        _remind(connection, context, fresh, now, text, once=f"response:{fresh.severity}", who=(PRIMARY,))

    return done(Verdict.SENT, record)


async def update(context: Context, job: Job) -> Outcome:
    """Status updates are due again and again until the incident is resolved; remind when one is late."""
    incident, hold = await _look(context, job)
    every, now = context.settings.response.update_every(incident.severity), context.clock()
    if incident.resolved_at or every is None:
        return done(Verdict.OVER)
    if hold:
        return retry("maintenance", hold)
    last = await context.store.read(lambda connection: _last_update(connection, incident))
    if now < last + every:
        return retry(Verdict.NOT_YET, last + every - now)
    if incident.quiet_since:
        return retry(Verdict.QUIET, every)
    if pause := await silenced.pause(context, incident):
        return retry("silenced", pause)

    def record(connection: Connection) -> None:
        text = f"a status update was due at {last + every:%H:%M} UTC"
        who = (incident.commander or incident.acknowledged_by or PRIMARY,)
        once, due = f"update:{now.isoformat()}", last + every
        _remind(connection, context, store.get(connection, incident.id), now, text, once=once, who=who, due=due)

    return Outcome(State.READY, Verdict.SENT, every, record)


async def review(context: Context, job: Job) -> Outcome:
    """The review of an incident that requires one is not done in time: remind the team."""
    incident, _ = await _look(context, job)
    if incident.reviewed_at:
        return done(Verdict.REVIEWED)

    def record(connection: Connection) -> None:
        within = format_duration(context.settings.response.review.within)
        text = f"the review of a {incident.severity} incident is required within {within}, and not marked as done"
        who = (TEAM_LEAD, incident.commander or PRIMARY)
        _remind(connection, context, incident, context.clock(), text, once="review", who=who, event=Event.UPDATE)

    return done(Verdict.SENT, record)


async def _look(context: Context, job: Job) -> tuple[Incident, timedelta | None]:
    """The incident, and for how long nobody is to be disturbed."""

    def look(connection: Connection) -> tuple[Incident, timedelta | None]:
        incident, now = store.get(connection, job.incident_id), context.clock()
        hold = holding.current(connection, context.settings, incident, now)
        return incident, max(hold.until - now, _SOONEST) if hold and not hold.tell else None

    return await context.store.read(look)


def _remind(
    connection: Connection,
    context: Context,
    incident: Incident,
    now: datetime,
    text: str,
    *,
    once: str,
    who: Iterable[str],
    due: datetime | None = None,
    event: Event = Event.REMINDER,
) -> None:
    called = reach(context.settings.oncall, who, incident.service, now)
    known = [name for name in called.channels if name in context.settings.channels]
    channels = tuple(dict.fromkeys((*heard(connection, incident), *known)))
    incident = replace(incident, channels=tuple(dict.fromkeys((*incident.channels, *channels))))
    store.save(connection, incident)
    names = ", ".join(channels) or "nobody: no channel has heard of it, and nobody is on call"
    timeline.write(connection, incident.id, now, Kind.REMINDED, f"reminded {names}: {text}")
    note = with_context(incident, text)
    tell(
        connection,
        context.settings,
        incident,
        event,
        now,
        once=once,
        note=note,
        channels=channels,
        more={"next_update": due} if due else None,
    )


def _last_update(connection: Connection, incident: Incident) -> datetime:
    """When people last heard how it stands; at first, when somebody took it in hand."""
    updates = timeline.moments(connection, incident.id, Kind.UPDATE)
    return updates[-1] if updates else incident.acknowledged_at or incident.opened_at
