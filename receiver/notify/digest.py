"""Digests: one update about all alerts that joined an incident without making it worse, not one for each alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents import timeline as incident_timeline
from deploywatch.receiver.incidents.case import Case
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob, State, Urgency
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, retry
from deploywatch.receiver.notify.queueing import heard, tell
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.store.schema import timeline
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
    """Send a digest of the alerts that have joined since the last message, where some have."""
    every = context.settings.notify.joined_every
    incident, ruling = await gate.ask(context, job.incident_id, asker=gate.Asker.TELLS)
    if not ruling.opens:
        return ruling.outcome()

    def record(connection: Connection) -> None:
        now, fresh = context.clock(), store.get(connection, job.incident_id)
        # Looked at again within the transaction: an update may have told of them in between.
        since, lines = _untold(connection, fresh.id)
        if lines and not fresh.resolved_at:
            what = "; ".join(f"{text} ×{count}" if count > 1 else text for text, count in Counter(lines).items())
            note = f"since {since:%H:%M:%S} UTC: {what}" if since else what
            tell(
                connection,
                context.settings,
                fresh,
                Event.UPDATE,
                now,
                once=f"{KIND}:{now.isoformat()}",
                note=note if len(note) <= _NOTE_LIMIT else f"{note[:_NOTE_LIMIT]}… (more on the timeline)",
                more={"headline": _headline(lines)},
                channels=heard(connection, fresh),
            )

    _, lines = await context.store.read(lambda connection: _untold(connection, incident.id))
    return Outcome(State.READY, "told what joined", every, record) if lines else retry("nothing joined", every)


def _headline(lines: Sequence[str]) -> str:
    """What happened in a few words: the only line, which says how many alerts joined, or that there were several."""
    return line(lines[0], 90) if len(set(lines)) == 1 else "More alerts joined"


def _untold(connection: Connection, incident_id: int) -> tuple[datetime | None, Sequence[str]]:
    """When people last heard of the incident, and the lines about what joined it since then."""
    last = max(incident_timeline.moments(connection, incident_id, Kind.TOLD), default=None)
    query = select(timeline.c.text).where(timeline.c.incident_id == incident_id, timeline.c.kind.in_(_LINES))
    if last is not None:
        query = query.where(timeline.c.at > last)
    return last, list(connection.execute(query.order_by(timeline.c.id)).scalars())
