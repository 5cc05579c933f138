"""The durable queue: a job is queued once, and may be brought forward."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    update,
)

from deploywatch.receiver.jobs.job import NewJob, State, Urgency
from deploywatch.receiver.store import Known, insert_later, insert_new
from deploywatch.receiver.store.schema import jobs

# The width of the column; a longer name ends in its hash, so that it stays unique.
_NAME_LIMIT = 200


def enqueue(connection: Connection, now: datetime, *new: NewJob) -> None:
    """Queue jobs, with others of this work; one whose key was ever queued before is left out."""
    # A key that was ever queued stays so: this is what makes "once an incident" true over crashes and replicas.
    insert_later(connection, jobs, [_row(job, now) for job in new], Known.KEPT)


def enqueue_new(connection: Connection, now: datetime, job: NewJob) -> bool:
    """Queue a job at once; False when its key was ever queued before."""
    return insert_new(connection, jobs, [_row(job, now)]) == 1


def _row(job: NewJob, now: datetime) -> dict[str, Any]:
    return {
        "kind": job.kind,
        "key": _fit(job.key),
        "serial_key": _fit(job.serial_key),
        "queue": _fit(job.queue or job.kind),
        "urgency": job.urgency,
        "incident_id": job.incident_id,
        "payload": dict(job.payload),
        "state": State.READY,
        "run_at": job.run_at,
        "attempts": 0,
        "uncertain_attempts": 0,
        "note": "",
        "created_at": now,
    }


def job_key(name: str) -> str:
    """The key under which a job of this name stands in the store."""
    return _fit(name)


def _fit(name: str) -> str:
    """The name as its column takes it; a longer one keeps what makes it unique as a digest."""
    return name if len(name) <= _NAME_LIMIT else f"{name[:160]}:{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def bring_forward(connection: Connection, job: NewJob) -> None:
    """Have the waiting job of this key run no later than this one says."""
    connection.execute(
        update(jobs)
        # Only what waits: a job that runs has decided already.
        .where(jobs.c.key == _fit(job.key), jobs.c.state == State.READY, jobs.c.run_at > job.run_at)
        .values(run_at=job.run_at)
    )


def hurry(connection: Connection, serial_keys: Collection[str], urgency: Urgency) -> None:
    """Have what waits under these serial keys be at least as urgent: something behind it is."""
    keys = [_fit(name) for name in serial_keys]
    waiting = (jobs.c.serial_key.in_(keys), jobs.c.state == State.READY, jobs.c.urgency > urgency)
    connection.execute(update(jobs).where(*waiting).values(urgency=urgency))
