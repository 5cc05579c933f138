"""Digests: one update about all alerts that joined an incident without making it worse, not one for each alert.

Each channel has its own: what one heard in a later message of its own may be news to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.case import Case
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob, State, Urgency
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, retry
from deploywatch.receiver.notify.queueing import heard, serial_key_of, tell
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.store.schema import jobs, timeline
from deploywatch.receiver.story import Event
from deploywatch.receiver.suppression import gate

KIND = "joined"
_LINES = (Kind.JOINED, Kind.VICTIM)
# A note is one section of a Slack message, which has 3,000 characters.
_NOTE_LIMIT = 1500


def watch(case: Case) -> None:
    """Queue the digest's job, which runs from time to time while the incident is open."""
    every = case.settings.notify.joined_every
    serial_key = f"{KIND}:{case.incident.id}"
    enqueue(
        case.connection,
        case.now,
        NewJob(KIND, serial_key, serial_key, case.now + every, incident_id=case.incident.id, urgency=Urgency.LOW),
    )


async def handle(context: Context, job: Job) -> Outcome:
    """Send each channel a digest of the alerts that have joined since its own last message, where some have."""
    every = context.settings.notify.joined_every
    incident, ruling = await gate.ask(context, job.incident_id, asker=gate.Asker.TELLS)
    if not ruling.opens:
        return ruling.outcome()

    def record(connection: Connection) -> None:
        now, fresh = context.clock(), store.get(connection, job.incident_id)
        if fresh.resolved_at:
            return
        # Looked at again within the transaction: an update may have told of them in between.
        for channel, (since, lines) in _untold(connection, fresh).items():
            tell(
                connection,
                context.settings,
                fresh,
                Event.UPDATE,
                now,
                once=f"{KIND}:{now.isoformat()}",
                note=_note(since, lines),
                more={"headline": _headline(lines)},
                channels=(channel,),
            )

    untold = await context.store.read(lambda connection: _untold(connection, incident))
    return Outcome(State.READY, "told what joined", every, record) if untold else retry("nothing joined", every)


def _note(since: datetime | None, lines: Sequence[str]) -> str:
    what = "; ".join(f"{text} ×{count}" if count > 1 else text for text, count in Counter(lines).items())
    note = f"since {since:%H:%M:%S} UTC: {what}" if since else what
    return note if len(note) <= _NOTE_LIMIT else f"{note[:_NOTE_LIMIT]}… (more on the timeline)"


def _headline(lines: Sequence[str]) -> str:
    """What happened in a few words: the only line, which says how many alerts joined, or that there were several."""
    return line(lines[0], 90) if len(set(lines)) == 1 else "More alerts joined"


def _untold(connection: Connection, incident: Incident) -> dict[str, tuple[datetime | None, list[str]]]:
    """By channel: when it last heard of the incident, and the lines about what joined since then, where some did."""
    query = select(timeline.c.at, timeline.c.kind, timeline.c.text).where(
        timeline.c.incident_id == incident.id, timeline.c.kind.in_((*_LINES, Kind.TOLD))
    )
    rows = connection.execute(query.order_by(timeline.c.id)).all()
    joined = [(at, text) for at, kind, text in rows if kind != Kind.TOLD]
    if not joined:
        return {}
    told = [(at, text) for at, kind, text in rows if kind == Kind.TOLD]
    since = _since(connection, incident, told)
    lines = {name: [text for at, text in joined if last is None or at > last] for name, last in since.items()}
    return {name: (since[name], lines[name]) for name in since if lines[name]}


def _since(
    connection: Connection, incident: Incident, told: Sequence[tuple[datetime, str]]
) -> dict[str, datetime | None]:
    """When each channel last heard, or a digest was last queued for it; those on the way to hear are left out."""
    last: dict[str, datetime | None] = dict.fromkeys(heard(connection, incident))
    for at, text in told:
        # One channel's name may begin as another's does.
        name = max((name for name in last if text.startswith(f"{name}: ")), key=len, default=None)
        if name is not None:
            last[name] = _later(last[name], at)
    keys = {serial_key_of(incident.id, name): name for name in last}
    sent = select(jobs.c.serial_key, jobs.c.state, jobs.c.key, jobs.c.created_at).where(jobs.c.serial_key.in_(keys))
    for serial_key, state, key, created_at in connection.execute(sent):
        name = keys[serial_key]
        if state in (State.READY, State.RUNNING):
            # What is sent later is composed then, and says who fires.
            last.pop(name, None)
        elif name in last and key.startswith(f"deliver:{incident.id}:{Event.UPDATE}:{KIND}:"):
            # A channel that wants no updates, or refuses, is not sent the same digest every few minutes.
            last[name] = _later(last[name], created_at)
    return last


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)
