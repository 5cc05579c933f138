"""The durable queue: a job is leased, run, and finished together with what it changed; nothing is queued twice."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, case, exists, func, or_, select, update

from deploywatch.receiver.store import insert_new
from deploywatch.receiver.store.schema import jobs

LEASE = timedelta(seconds=20)
"""For how long a job is its worker's, unless renewed; then others take it over."""
QUEUE_LIMIT = 16
"""Jobs of one queue that a worker runs at a time."""
SOONEST = timedelta(seconds=1)
"""A retry is not before this, so that nothing is asked again without a pause."""
# Longer pauses would leave people untold for long after a channel is well again.
_MAX_BACKOFF = timedelta(minutes=5)
# The width of the column; a longer name ends in its hash, so that it stays unique.
_NAME_LIMIT = 200


class State(StrEnum):
    """The life of a job."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NewJob:
    """Something to do: once for each `key`, one after another within a `serial_key`, not before `run_at`.

    Of one `queue` (the kind, when it is empty) only `QUEUE_LIMIT` run at a time.
    """

    kind: str
    key: str
    serial_key: str
    run_at: datetime
    incident_id: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job in hand; `attempts` counts this one.

    `uncertain_attempts` counts the attempts of which nobody knows whether they did it, because they were cut off.
    """

    id: int
    kind: str
    key: str
    incident_id: int
    payload: Mapping[str, Any]
    attempts: int
    created_at: datetime
    queue: str = ""
    uncertain_attempts: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of a job ended; `record` writes what it changed, in the transaction that finishes the job.

    `reason` is a bounded word for metrics; `uncertain_attempts` is None where they are as before.
    """

    state: State
    note: str = ""
    after: timedelta = timedelta()
    record: Callable[[Connection], object] | None = None
    reason: str = ""
    uncertain_attempts: int | None = None


Handler = Callable[[Job], Awaitable[Outcome]]


def done(note: str = "", record: Callable[[Connection], object] | None = None) -> Outcome:
    """The job is finished."""
    return Outcome(State.DONE, note, record=record)


def retry(note: str, after: timedelta, *, reason: str = "", uncertain_attempts: int | None = None) -> Outcome:
    """The job is to be tried again, not before `after`."""
    return Outcome(State.READY, note, after, reason=reason, uncertain_attempts=uncertain_attempts)


def failed(note: str, record: Callable[[Connection], object] | None = None, *, reason: str = "") -> Outcome:
    """The job is given up."""
    return Outcome(State.FAILED, note, record=record, reason=reason)


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts: 1 s, doubled each time, at most 5 minutes."""
    return min(timedelta(seconds=2 ** min(attempts - 1, 10)), _MAX_BACKOFF)


_earlier = jobs.alias("earlier")
# What a look at the queue needs is built once; this is whether an earlier job of the serial key is not over.
_BLOCKED = exists().where(
    _earlier.c.serial_key == jobs.c.serial_key,
    _earlier.c.id < jobs.c.id,
    _earlier.c.state.in_((State.READY, State.RUNNING)),
)

_HAS_ROOM = jobs.c.queue.not_in(bindparam("full", expanding=True))
_DUE = (
    select(jobs)
    .where(
        or_(
            and_(jobs.c.state == State.READY, jobs.c.run_at <= bindparam("now")),
            and_(
                jobs.c.state == State.RUNNING,
                jobs.c.leased_until < bindparam("now"),
                jobs.c.id.not_in(bindparam("held", expanding=True)),
            ),
        ),
        _HAS_ROOM,
        ~_BLOCKED,
    )
    .order_by(jobs.c.run_at, jobs.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_NEXT = select(func.min(jobs.c.run_at)).where(jobs.c.state == State.READY, _HAS_ROOM, ~_BLOCKED)

# An attempt whose end was not seen is in doubt, unless it said so itself (`doubt`).
_UNCERTAIN = case(
    (and_(jobs.c.state == State.RUNNING, jobs.c.uncertain_attempts == 0), 1), else_=jobs.c.uncertain_attempts
)


def enqueue(connection: Connection, now: datetime, *new: NewJob) -> int:
    """Queue jobs; one whose key was ever queued before is left out. How many were new comes back."""
    return insert_new(
        connection,
        jobs,
        [
            {
                "kind": job.kind,
                "key": _fit(job.key),
                "serial_key": _fit(job.serial_key),
                "queue": _fit(job.queue or job.kind),
                "incident_id": job.incident_id,
                "payload": dict(job.payload),
                "state": State.READY,
                "run_at": job.run_at,
                "attempts": 0,
                "uncertain_attempts": 0,
                "note": "",
                "created_at": now,
            }
            for job in new
        ],
    )


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
        .where(jobs.c.key == _fit(job.key), jobs.c.state == State.READY, jobs.c.run_at > job.run_at)
        .values(run_at=job.run_at)
    )


def claim(
    connection: Connection, now: datetime, owner: str, limit: int, *, running: Mapping[int, Job] | None = None
) -> list[Job]:
    """Lease the jobs that are due, at most one a serial key; a lease that ran out may be taken over.

    Not those that are `running`: the claimant runs them still, whatever the clock says about their leases. They also
    count towards their queues' limits.
    """
    held = running or {}
    busy = Counter(job.queue for job in held.values())
    asked = {"now": now, "held": list(held), "full": _full(busy), "most": 2 * limit}
    rows: list[RowMapping] = []
    for row in connection.execute(_DUE, asked).mappings():
        if busy[row["queue"]] < QUEUE_LIMIT and len(rows) < limit:
            busy[row["queue"]] += 1
            rows.append(row)
    if rows:
        connection.execute(
            update(jobs)
            .where(jobs.c.id.in_([row["id"] for row in rows]))
            .values(
                state=State.RUNNING,
                leased_by=owner,
                leased_until=now + LEASE,
                attempts=jobs.c.attempts + 1,
                uncertain_attempts=_UNCERTAIN,
            )
        )
    return [_leased(row) for row in rows]


def _leased(row: RowMapping) -> Job:
    """The job of a row as it was before it was leased; whoever ran it before did not finish it."""
    return Job(
        id=row["id"],
        kind=row["kind"],
        key=row["key"],
        incident_id=row["incident_id"],
        payload=row["payload"],
        attempts=row["attempts"] + 1,
        created_at=row["created_at"],
        queue=row["queue"],
        uncertain_attempts=row["uncertain_attempts"] or int(row["state"] == State.RUNNING),
    )


def mark_uncertain(connection: Connection, job: Job, uncertain_attempts: int) -> bool:
    """Write down, before it is done once more, what is in doubt from now on; False when the job is no longer ours."""
    changed = connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.attempts == job.attempts, jobs.c.state == State.RUNNING)
        .values(uncertain_attempts=uncertain_attempts)
    )
    return changed.rowcount == 1


def _full(busy: Mapping[str, int]) -> list[str]:
    """The queues at their limit, with so many running."""
    return [queue for queue, count in busy.items() if count >= QUEUE_LIMIT]


# Built once, because every job needs it.
_FINISH = update(jobs).where(
    jobs.c.id == bindparam("which"), jobs.c.leased_by == bindparam("owner"), jobs.c.attempts == bindparam("attempt")
)


def finish(connection: Connection, now: datetime, owner: str, job: Job, outcome: Outcome) -> bool:
    """Write how the job ended and what it changed; False, and nothing written, when the lease is no longer ours."""
    finished = outcome.state in (State.DONE, State.FAILED)
    values = {
        "state": outcome.state,
        "run_at": now + outcome.after,
        "leased_by": None,
        "leased_until": None,
        "note": outcome.note[:2000],
        "finished_at": now if finished else None,
        **({} if outcome.uncertain_attempts is None else {"uncertain_attempts": outcome.uncertain_attempts}),
    }
    changed = connection.execute(_FINISH, {"which": job.id, "owner": owner, "attempt": job.attempts, **values})
    if changed.rowcount != 1:
        return False
    if outcome.record:
        outcome.record(connection)
    return True


def release_all(connection: Connection, now: datetime) -> None:
    """End every lease: for a store that belongs to one process, where those who held them are gone."""
    connection.execute(update(jobs).where(jobs.c.state == State.RUNNING).values(leased_until=now - LEASE))


def extend(connection: Connection, *, owner: str, held: Collection[int], until: datetime) -> set[int]:
    """Renew the leases that the owner still has; which those are comes back."""
    ours = (jobs.c.id.in_(held), jobs.c.leased_by == owner, jobs.c.state == State.RUNNING)
    connection.execute(update(jobs).where(*ours).values(leased_until=until))
    return set(connection.execute(select(jobs.c.id).where(*ours)).scalars())


def next_due(connection: Connection, running: Iterable[Job] = ()) -> datetime | None:
    """When the earliest job is due that waits only for its time: not for its serial key, nor for what is `running`."""
    full = _full(Counter(job.queue for job in running))
    due: datetime | None = connection.execute(_NEXT, {"full": full}).scalar()
    return due
