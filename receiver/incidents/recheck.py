"""An alert that came as firing shortly after its resolve: looked at again when no delivery can be late any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, exists, select

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.decide import LATE, Episode
from deploywatch.receiver.jobs.job import NewJob, State
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.store.schema import jobs

KIND: Final = "recheck"


def queue(connection: Connection, alert: Alert, known: Episode, incident_id: int | None, now: datetime) -> None:
    """Look again at the alert, once for each of its resolves."""
    resolved_at = known.changed_at or now
    key = f"{KIND}:{alert.fingerprint}:{resolved_at.isoformat()}"
    # The whole alert, because nothing else keeps what the deferred delivery said.
    payload: dict[str, Any] = msgspec.to_builtins(alert)
    job = NewJob(KIND, key, f"{KIND}:{alert.fingerprint}", resolved_at + LATE, incident_id=incident_id, payload=payload)
    enqueue(connection, now, job)


STILL_FIRING: Final = "still_firing"


# A person's word counts, and is not believed for ever: what fires on after it is told again.
def watch_incident(connection: Connection, incident_id: int, now: datetime, after: timedelta, *, by: str) -> None:
    """A person ended the incident while alerts fire: see after a time whether they were right."""
    key = f"{STILL_FIRING}:{incident_id}"
    enqueue(connection, now, NewJob(STILL_FIRING, key, key, now + after, incident_id=incident_id, payload={"by": by}))


def alert_of(payload: Any) -> Alert:
    """The alert that a job is about."""
    return msgspec.convert(dict(payload), Alert)


def is_pending(connection: Connection, incident_id: int) -> bool:
    """Whether an alert of the incident is still to be looked at again: it may fire on."""
    waiting = exists().where(
        jobs.c.incident_id == incident_id, jobs.c.kind == KIND, jobs.c.state.in_((State.READY, State.RUNNING))
    )
    return bool(connection.execute(select(waiting)).scalar())
