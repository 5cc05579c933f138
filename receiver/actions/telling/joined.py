"""Tells together of alerts that joined an incident without making it worse: one update at a time, not one an alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from receiver.actions.case import Case
from receiver.actions.telling.notify import heard, tell
from receiver.desk import Desk
from receiver.incidents import book
from receiver.jobs import Job, NewJob, Outcome, State, again, done, enqueue
from receiver.messages import Event
from receiver.store.schema import timeline

KIND = "joined"
_LINES = ("joined", "victim")
_NOTE_LIMIT = 1500


def watch(case: Case) -> None:
    """Look from time to time whether something joined, from the incident's opening to its end."""
    every = case.settings.notify.joined_every
    lane = f"{KIND}:{case.incident.id}"
    enqueue(case.connection, case.now, NewJob(KIND, lane, lane, case.now + every, incident_id=case.incident.id))


async def handle(desk: Desk, job: Job) -> Outcome:
    """Tell those who heard of the incident what joined it since they last heard, where something did."""
    every = desk.settings.notify.joined_every
    incident = await desk.store.read(lambda connection: book.get(connection, job.incident_id))
    if incident.resolved_at:
        return done("it is over")

    def record(connection: Connection) -> None:
        now, fresh = desk.clock(), book.get(connection, job.incident_id)
        told, lines = _untold(connection, fresh.id)
        if lines and not fresh.resolved_at:
            what = "; ".join(f"{text} ×{count}" if count > 1 else text for text, count in Counter(lines).items())
            note = f"since {told:%H:%M:%S} UTC: {what}" if told else what
            tell(
                connection,
                desk.settings,
                fresh,
                Event.UPDATE,
                now,
                once=f"{KIND}:{now.isoformat()}",
                note=note[:_NOTE_LIMIT],
                channels=heard(connection, fresh),
            )

    _, lines = await desk.store.read(lambda connection: _untold(connection, incident.id))
    return Outcome(State.READY, "told what joined", every, record) if lines else again("nothing joined", every)


def _untold(connection: Connection, incident_id: int) -> tuple[datetime | None, Sequence[str]]:
    """When people last heard of the incident, and the lines about what joined it since then."""
    told = max(book.moments(connection, incident_id, "told"), default=None)
    query = select(timeline.c.text).where(timeline.c.incident_id == incident_id, timeline.c.kind.in_(_LINES))
    if told is not None:
        query = query.where(timeline.c.at > told)
    return told, list(connection.execute(query.order_by(timeline.c.id)).scalars())
