"""Reminds people: nobody responded in time, a status update is due, a review is not done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.quantity import format_duration
from receiver.actions.telling.notify import heard, tell
from receiver.desk import Desk
from receiver.held import holding, silenced
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.jobs import Job, Outcome, State, again, done
from receiver.messages import Event
from receiver.oncall.roster import PRIMARY, TEAM_LEAD
from receiver.oncall.schedule import reach
from receiver.people.deadlines.response import Verdict, judge
from receiver.people.words import with_context

UPDATE_LINE = "update"
_SOONEST = timedelta(seconds=1)


async def respond(desk: Desk, job: Job) -> Outcome:
    """Nobody has acknowledged within the deadline: remind those who heard, and who is on call."""
    incident, hold = await _look(desk, job)
    verdict = judge(incident, job.payload["severity"])
    if verdict is Verdict.QUIET:
        return again(verdict, max(desk.settings.quiet_time, _SOONEST))
    if verdict is not Verdict.DUE:
        return done(verdict)
    if hold := hold or await silenced.pause(desk, incident):
        return again("held back", hold)

    def record(connection: Connection) -> None:
        fresh, now = book.get(connection, job.incident_id), desk.clock()
        if judge(fresh, job.payload["severity"]) is not Verdict.DUE:
            return
        within = format_duration(timedelta(seconds=job.payload["within"]))
        text = f"nobody acknowledged it within {within}"
        _remind(connection, desk, fresh, now, text, once=f"response:{fresh.severity}", who=(PRIMARY,))

    return done(Verdict.SENT, record)


async def update(desk: Desk, job: Job) -> Outcome:
    """Status updates are due again and again until the incident is resolved; remind when one is late."""
    incident, hold = await _look(desk, job)
    every, now = desk.settings.response.update_every(incident.severity), desk.clock()
    if incident.resolved_at or every is None:
        return done(Verdict.OVER)
    if hold:
        return again("maintenance", hold)
    last = await desk.store.read(lambda connection: _last_update(connection, incident))
    if now < last + every:
        return again(Verdict.NOT_YET, last + every - now)
    if incident.quiet_since:
        return again(Verdict.QUIET, every)
    if pause := await silenced.pause(desk, incident):
        return again("silenced", pause)

    def record(connection: Connection) -> None:
        text = f"a status update was due at {last + every:%H:%M} UTC"
        who = (incident.commander or incident.acknowledged_by or PRIMARY,)
        once, due = f"update:{now.isoformat()}", last + every
        _remind(connection, desk, book.get(connection, incident.id), now, text, once=once, who=who, due=due)

    return Outcome(State.READY, Verdict.SENT, every, record)


async def review(desk: Desk, job: Job) -> Outcome:
    """The review of an incident that requires one is not done in time: remind the team."""
    incident, _ = await _look(desk, job)
    if incident.reviewed_at:
        return done(Verdict.REVIEWED)

    def record(connection: Connection) -> None:
        within = format_duration(desk.settings.response.review.within)
        text = f"the review of a {incident.severity} incident is required within {within}, and not marked as done"
        who = (TEAM_LEAD, incident.commander or PRIMARY)
        _remind(connection, desk, incident, desk.clock(), text, once="review", who=who, event=Event.UPDATE)

    return done(Verdict.SENT, record)


async def _look(desk: Desk, job: Job) -> tuple[Incident, timedelta | None]:
    """The incident, and for how long nobody is to be disturbed."""

    def look(connection: Connection) -> tuple[Incident, timedelta | None]:
        incident, now = book.get(connection, job.incident_id), desk.clock()
        hold = holding.current(connection, desk.settings, incident, now)
        return incident, max(hold.until - now, _SOONEST) if hold and not hold.tell else None

    return await desk.store.read(look)


def _remind(
    connection: Connection,
    desk: Desk,
    incident: Incident,
    now: datetime,
    text: str,
    *,
    once: str,
    who: Iterable[str],
    due: datetime | None = None,
    event: Event = Event.REMINDER,
) -> None:
    called = reach(desk.settings.oncall, who, incident.service, now)
    known = [name for name in called.channels if name in desk.settings.channels]
    told = tuple(dict.fromkeys((*heard(connection, incident), *known)))
    incident = replace(incident, channels=tuple(dict.fromkeys((*incident.channels, *told))))
    book.save(connection, incident)
    names = ", ".join(told) or "nobody: no channel has heard of it, and nobody is on call"
    book.write_line(connection, incident.id, now, "reminded", f"reminded {names}: {text}")
    note = with_context(incident, text)
    tell(
        connection,
        desk.settings,
        incident,
        event,
        now,
        once=once,
        note=note,
        channels=told,
        more={"next_update": due} if due else None,
    )


def _last_update(connection: Connection, incident: Incident) -> datetime:
    """When people last heard how it stands; at first, when somebody took it in hand."""
    said = book.moments(connection, incident.id, UPDATE_LINE)
    return said[-1] if said else incident.acknowledged_at or incident.opened_at
