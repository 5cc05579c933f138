"""Holds back what an incident would do in a window or a silence: a line says so, and a job remembers it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, update

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob, State
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event
from deploywatch.receiver.suppression.windows import Hold

KIND = "held"
_NEVER_HELD = frozenset({"log"})
_MESSAGES = frozenset({"notify", "escalate"})


def split(hold: Hold, actions: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The actions that go on during a window, and those that wait for its end."""
    free = _NEVER_HELD | _MESSAGES if hold.tell else _NEVER_HELD
    actions = tuple(actions)
    return tuple(action for action in actions if action in free), tuple(
        action for action in actions if action not in free
    )


def keep_actions(
    connection: Connection,
    hold: Hold,
    incident: Incident,
    now: datetime,
    *,
    alert: Alert,
    event: Event,
    actions: Sequence[str],
) -> None:
    """Do these actions when the window ends, if the incident still goes on then."""
    if not actions:
        return
    began = alert.starts_at.isoformat()
    payload = {"do": list(actions), "event": event, "fingerprint": alert.fingerprint, "starts_at": began}
    key = f"{event}:{alert.fingerprint}:{began}:{','.join(actions)}"
    _keep(connection, hold, incident, now, what=", ".join(actions), key=key, payload=payload)


def keep_message(
    connection: Connection,
    hold: Hold,
    incident: Incident,
    now: datetime,
    *,
    event: Event,
    once: object,
    note: str,
    channels: Iterable[str],
) -> None:
    """Tell it when the window ends, if the incident still goes on then."""
    names = list(channels)
    payload = {"tell": names, "event": event, "once": str(once), "note": note}
    what, key = f"telling {', '.join(names)}", f"tell:{event}:{once}:{names}"
    _keep(connection, hold, incident, now, what=what, key=key, payload=payload)


def keep_job(
    connection: Connection, hold: Hold, incident: Incident, now: datetime, *, job: Job, serial_key: str
) -> None:
    """Do this job when the window ends, if the incident still goes on then: it came due while one was open."""
    payload = {"job": _again(job, serial_key)}
    _keep(connection, hold, incident, now, what=job.kind, key=f"job:{job.id}", payload=payload)


def keep_silenced(
    connection: Connection, hold: Hold, incident: Incident, now: datetime, *, job: Job, serial_key: str, look: datetime
) -> None:
    """Do this job when its incident is not silenced any more, if it still goes on then; look first at `look`."""
    payload = {"job": _again(job, serial_key), "silenced_until": hold.until.isoformat()}
    _keep(connection, hold, incident, now, what=job.kind, key=f"job:{job.id}", payload=payload, look=look)


def look_again(connection: Connection, now: datetime) -> None:
    """A window ended early or was changed: have what was held look whether its time has come."""
    connection.execute(
        update(jobs).where(jobs.c.kind == KIND, jobs.c.state == State.READY, jobs.c.run_at > now).values(run_at=now)
    )


def _again(job: Job, serial_key: str) -> dict[str, Any]:
    return {"kind": job.kind, "serial_key": serial_key, "payload": dict(job.payload)}


def _keep(
    connection: Connection,
    hold: Hold,
    incident: Incident,
    now: datetime,
    *,
    what: str,
    key: str,
    payload: Mapping[str, Any],
    look: datetime | None = None,
) -> None:
    timeline.write(connection, incident.id, now, Kind.ACTION_HELD, f"{what}: {hold}")
    serial = f"held:{incident.id}"
    enqueue(connection, now, NewJob(KIND, f"{serial}:{key}", serial, look or hold.until, incident.id, payload))
