"""Reminds people: nobody responded in time, a status update is due, a review is not done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.quantity import format_duration
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation import timers
from deploywatch.receiver.escalation.on_call import reach
from deploywatch.receiver.escalation.policy import Verdict, judge
from deploywatch.receiver.escalation.upcoming import update_due
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.jobs.retry import Outcome, done, retry
from deploywatch.receiver.notify.queueing import heard, tell
from deploywatch.receiver.notify.reason import with_context
from deploywatch.receiver.settings.people.on_call import PRIMARY, TEAM_LEAD
from deploywatch.receiver.story import Event
from deploywatch.receiver.suppression import gate

_HEAD_START = timedelta(minutes=5)
"""For how long only who is on it knows that an update is late; half the time between updates, where that is less."""


async def respond(context: Context, job: Job) -> Outcome:
    """Nobody has acknowledged within the deadline: remind those who heard, and who is on call."""
    incident, ruling = await gate.ask(context, job.incident_id, asker=gate.Asker.TELLS)
    verdict = judge(incident, job.payload["severity"])
    # QUIET goes to the gate, which says when to look again: quiet may end by firing anew.
    if verdict not in (Verdict.DUE, Verdict.QUIET):
        return done(verdict)
    if not ruling.opens:
        return ruling.outcome()

    def record(connection: Connection) -> None:
        fresh, now = store.get(connection, job.incident_id), context.clock()
        if judge(fresh, job.payload["severity"]) is not Verdict.DUE:
            return
        within = format_duration(timedelta(seconds=job.payload["within"]))
        text = f"nobody acknowledged it within {within}"
        _remind(
            connection,
            context,
            fresh,
            now,
            text,
            once=f"response:{fresh.severity}{job.payload.get('again', '')}",
            who=(PRIMARY,),
        )

    return done(Verdict.SENT, record)


async def update(context: Context, job: Job) -> Outcome:
    """Status updates are due again and again until the incident is resolved; remind when one is late.

    Who is on it hears it first; everybody else who heard of the incident, when it is still late a little later.
    """
    incident, ruling = await gate.ask(context, job.incident_id, asker=gate.Asker.TELLS)
    every, now = context.settings.response.update_every(incident.severity), context.clock()
    if every is None:
        return done(Verdict.OVER)
    if not ruling.opens:
        return ruling.outcome()
    promised = job.payload.get("promised") if incident.acknowledged_at else None
    # Worked out when it is looked at: an update that was written meanwhile moves it.
    due = await context.store.read(lambda c: update_due(c, context.settings, incident, promised)) or now
    if now < due:
        return retry(Verdict.NOT_YET, due - now)

    who = incident.commander or incident.acknowledged_by
    text = f"a status update was {'promised for' if promised else 'due at'} {due:%H:%M} UTC"
    # Who is on it hears first and once: to remind the whole channel at the same moment shames, and helps nobody.
    alone = _alone(context, incident, who, now) if who and job.payload.get("reminded") != due.isoformat() else ()

    def record(connection: Connection) -> None:
        fresh = store.get(connection, incident.id)
        once = f"update:{now.isoformat()}"
        _remind(connection, context, fresh, now, text, once=once, who=(who or PRIMARY,), due=due, only=alone)
        timers.reminded(connection, job, due)

    return Outcome(State.READY, Verdict.SENT, min(_HEAD_START, every / 2) if alone else every, record)


def _alone(context: Context, incident: Incident, who: str, now: datetime) -> tuple[str, ...]:
    """The channels that reach whoever is on it, who hears first that an update is late; none where none is known."""
    settings = context.settings
    return tuple(
        name for name in reach(settings.oncall, [who], incident.service, now).channels if name in settings.channels
    )


async def review(context: Context, job: Job) -> Outcome:
    """The review of an incident that requires one is not done in time: remind the team."""
    incident = await context.store.read(lambda connection: store.get(connection, job.incident_id))
    if incident.reviewed_at:
        return done(Verdict.REVIEWED)

    def record(connection: Connection) -> None:
        within = format_duration(context.settings.response.review.within)
        text = f"the review of a {incident.severity} incident is required within {within}, and not marked as done"
        who = (TEAM_LEAD, incident.commander or PRIMARY)
        now, head = context.clock(), "Review is overdue"
        _remind(connection, context, incident, now, text, once="review", who=who, event=Event.UPDATE, headline=head)

    return done(Verdict.SENT, record)


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
    only: Iterable[str] = (),
    event: Event = Event.REMINDER,
    headline: str = "",
) -> None:
    called = reach(context.settings.oncall, who, incident.service, now)
    known = [name for name in called.channels if name in context.settings.channels]
    # Somebody outside is not reminded: that is not theirs to know.
    everyone = only or (*heard(connection, incident), *known)
    ours = (name for name in everyone if name not in context.settings.outside_channels)
    channels = tuple(dict.fromkeys(ours))
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
        more={**({"next_update": due} if due else {}), **({"headline": headline} if headline else {})},
    )
