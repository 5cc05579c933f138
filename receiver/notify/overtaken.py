"""Tells once more how an incident stands, where a message about it was sent late, after newer ones.

A replica that is paused in the very moment of sending goes on with it when it runs again. Others have told what came
next by then, so that what people read last, or what PagerDuty has open, is of the past.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, select

from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store
from deploywatch.receiver.jobs.job import Job, NewJob, State
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.messages import Late, Message, identity
from deploywatch.receiver.notify.packing import packed
from deploywatch.receiver.notify.queueing import KIND
from deploywatch.receiver.notify.unsent import has_told
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event

LATE: Final = "late"
"""Names, in the payload of a delivery, the event of the message that was sent late."""
TOLD_LATE: Final = "told_late"
"""The reason with which such a delivery is counted."""
# The channel's own timeout begins a little after the lease was lost, and a request needs time on the way.
_MARGIN: Final = timedelta(seconds=2)
_NOTE: Final = "a message about this was sent late, after newer ones; this is how it stands now"
_HEADLINE: Final = "Still open"


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A delivery as it is to be made now, and what its message puts right."""

    job: Job
    late: Late

    def of(self, message: Message) -> Message:
        """The message, which says what it puts right."""
        began = tuple(identity(message.dedup_key, name) for name in self.late.began)
        return replace(message, late=replace(self.late, began=began))

    @property
    def text(self) -> str:
        """What the timeline says."""
        return (
            f"{self.job.payload['channel']}: a message ({self.late.event}) was sent late, after newer ones, by a "
            "receiver that had been paused; how it stands now is told once more"
        )


def may_have_arrived(outcome: Outcome | None) -> bool:
    """Whether an attempt with this outcome, None when it was cut off, may have told the channel something."""
    # Cut off: nobody knows how far the request came.
    if outcome is None:
        return True
    return has_told(outcome.state, outcome.reason) or bool(outcome.uncertain_attempts)


def lost(context: Context, connection: Connection, job: Job, outcome: Outcome | None) -> None:
    """Queue, once for the attempt, a look at whether others have told newer things than this delivery.

    The attempt was made by a receiver that had lost its lease by then. A request that was cut off may be under way
    still, so the look is after the channel's timeout.
    """
    channel, now = context.settings.channels.get(job.payload.get("channel", "")), context.clock()
    if job.kind != KIND or channel is None or not may_have_arrived(outcome):
        return
    row = connection.execute(select(jobs).where(jobs.c.id == job.id)).mappings().one_or_none()
    if row is None:
        return
    wait = timedelta() if outcome and outcome.state is State.DONE else channel.timeout + _MARGIN
    later = NewJob(
        kind=KIND,
        key=f"{LATE}:{job.key}:{job.attempts}",
        serial_key=row["serial_key"],
        queue=row["queue"],
        urgency=job.urgency,
        run_at=now + wait,
        incident_id=job.incident_id,
        payload={**_now(connection, job, now), LATE: job.payload.get(LATE, job.payload["event"]), "of": job.id},
    )
    enqueue(connection, now, later)


def find(connection: Connection, job: Job, now: datetime) -> Overtaken | None:
    """What is to be told by a delivery that `lost` has queued; None when nothing newer was told after the late one."""
    late = connection.execute(select(jobs).where(jobs.c.id == job.payload["of"])).mappings().one_or_none()
    if late is None:
        return None
    query = select(jobs).where(jobs.c.incident_id == job.incident_id, jobs.c.kind == KIND)
    others = [row for row in connection.execute(query).mappings() if _is_of_channel(row, job)]
    # Where nothing newer was told, the late message was simply the news.
    if not any(row["id"] > late["id"] and row["id"] != job.id and _has_told(row) for row in others):
        return None
    began = tuple(_name(row) for row in others if row["payload"]["event"] == Event.WORSENED)
    current = replace(job, payload=_now(connection, job, now))
    return Overtaken(current, Late(Event(job.payload[LATE]), began))


def _is_of_channel(row: RowMapping, job: Job) -> bool:
    payload = row["payload"]
    return all(payload.get(name) == job.payload.get(name) for name in ("channel", "recipient"))


def _has_told(row: RowMapping) -> bool:
    """Whether the delivery has told its channel something, or may have."""
    under_way = row["state"] == State.RUNNING or (row["state"] != State.DONE and bool(row["uncertain_attempts"]))
    return under_way or has_told(row["state"], row["reason"])


def _name(row: RowMapping) -> str:
    """What a message of this delivery is named by, from try to try."""
    return str(row["payload"].get("again_of", row["key"]))


def _now(connection: Connection, job: Job, now: datetime) -> Mapping[str, Any]:
    """What is told now: the end of an incident that is over, as it was told before; else how it stands."""
    incident = store.get(connection, job.incident_id)
    whom = {name: job.payload[name] for name in ("channel", "recipient", "instead_of") if name in job.payload}
    # As it is now, and not as it was when this was queued: between the two it may have ended.
    if incident.resolved_at is None:
        return {**packed(Event.UPDATE, now, note=_NOTE, rollback=None, more={"headline": _HEADLINE}), **whom}
    query = select(jobs.c.payload).where(jobs.c.incident_id == job.incident_id, jobs.c.kind == KIND)
    ends = [payload for payload in connection.execute(query).scalars() if payload["event"] == Event.RESOLVED]
    end = next((payload for payload in ends if payload["channel"] == whom["channel"]), ends[0] if ends else None)
    if end is None:
        return {**packed(Event.RESOLVED, now, note=_NOTE, rollback=None, more={}), **whom}
    words = {name: end[name] for name in ("event", "at", "rollback", "more")}
    return {**words, "note": f"{end['note']}; {_NOTE}" if end["note"] else _NOTE, **whom}
