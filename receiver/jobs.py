"""The durable queue: a job is leased, run, and finished together with what it changed; nothing is queued twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, bindparam, exists, func, or_, select, update

from deploywatch import logs
from receiver.clock import Clock, Sleep
from receiver.store import Store, StoreError, insert_new
from receiver.store.schema import jobs

log = logs.get("jobs")

LEASE = timedelta(seconds=30)
POLL_SECONDS = 1.0
GATHER_SECONDS = 0.01
"""How long a look at the queue waits for more that is queued or ends just then: looks are dear, and most come alone."""
QUEUE_LIMIT = 8
"""Jobs of one queue that a worker runs at a time."""
CONCURRENCY: Final = 256
"""Jobs that a worker runs at a time: many more than a queue's, because most of them wait for somebody's answer."""
_MAX_BACKOFF = timedelta(minutes=5)
_NAME_LIMIT = 200


class State(StrEnum):
    """The life of a job."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NewJob:
    """Something to do: once for each `key`, one after another within a `lane`, not before `run_at`.

    Of one `queue` (the kind, when it is empty) only `QUEUE_LIMIT` run at a time.
    """

    kind: str
    key: str
    lane: str
    run_at: datetime
    incident_id: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job in hand; `attempts` counts this one."""

    id: int
    kind: str
    key: str
    incident_id: int
    payload: Mapping[str, Any]
    attempts: int
    created_at: datetime
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of a job ended; `record` writes what it changed, in the transaction that finishes the job.

    `reason` is a bounded word for metrics.
    """

    state: State
    note: str = ""
    after: timedelta = timedelta()
    record: Callable[[Connection], object] | None = None
    reason: str = ""


Handler = Callable[[Job], Awaitable[Outcome]]


def done(note: str = "", record: Callable[[Connection], object] | None = None) -> Outcome:
    """The job is finished."""
    return Outcome(State.DONE, note, record=record)


def again(note: str, after: timedelta, *, reason: str = "") -> Outcome:
    """The job is to be tried again, not before `after`."""
    return Outcome(State.READY, note, after, reason=reason)


def failed(note: str, record: Callable[[Connection], object] | None = None, *, reason: str = "") -> Outcome:
    """The job is given up."""
    return Outcome(State.FAILED, note, record=record, reason=reason)


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts: 1 s, doubled each time, at most 5 minutes."""
    return min(timedelta(seconds=2 ** min(attempts - 1, 10)), _MAX_BACKOFF)


_earlier = jobs.alias("earlier")
# Whether an earlier job of the lane is not over; built once, because every look at the queue asks it.
_BLOCKED = exists().where(
    _earlier.c.lane == jobs.c.lane,
    _earlier.c.id < jobs.c.id,
    _earlier.c.state.in_((State.READY, State.RUNNING)),
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
                "lane": _fit(job.lane),
                "queue": _fit(job.queue or job.kind),
                "incident_id": job.incident_id,
                "payload": dict(job.payload),
                "state": State.READY,
                "run_at": job.run_at,
                "attempts": 0,
                "note": "",
                "created_at": now,
            }
            for job in new
        ],
    )


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
    """Lease the jobs that are due, at most one a lane; a lease that ran out may be taken over.

    Not those that are `running`: the claimant runs them still, whatever the clock says about their leases. They also
    count towards their queues' limits.
    """
    held = running or {}
    busy = Counter(job.queue for job in held.values())
    due = or_(
        and_(jobs.c.state == State.READY, jobs.c.run_at <= now),
        and_(jobs.c.state == State.RUNNING, jobs.c.leased_until < now, jobs.c.id.not_in(held)),
    )
    query = select(jobs).where(due, _has_room(held.values()), ~_BLOCKED).order_by(jobs.c.run_at, jobs.c.id)
    rows: list[RowMapping] = []
    for row in connection.execute(query.limit(2 * limit).with_for_update(skip_locked=True)).mappings():
        if busy[row["queue"]] < QUEUE_LIMIT and len(rows) < limit:
            busy[row["queue"]] += 1
            rows.append(row)
    if rows:
        connection.execute(
            update(jobs)
            .where(jobs.c.id.in_([row["id"] for row in rows]))
            .values(state=State.RUNNING, leased_by=owner, leased_until=now + LEASE, attempts=jobs.c.attempts + 1)
        )
    return [
        Job(
            id=row["id"],
            kind=row["kind"],
            key=row["key"],
            incident_id=row["incident_id"],
            payload=row["payload"],
            attempts=row["attempts"] + 1,
            created_at=row["created_at"],
            queue=row["queue"],
        )
        for row in rows
    ]


def _has_room(running: Iterable[Job]) -> ColumnElement[bool]:
    """That the queue is not at its limit, with these running."""
    busy = Counter(job.queue for job in running)
    return jobs.c.queue.not_in([queue for queue, count in busy.items() if count >= QUEUE_LIMIT])


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


def next_due(connection: Connection, running: Iterable[Job] = ()) -> datetime | None:
    """When the earliest job is due that waits for nothing but its time: not for its lane, nor for what is `running`."""
    query = select(func.min(jobs.c.run_at)).where(jobs.c.state == State.READY, _has_room(running), ~_BLOCKED)
    found: datetime | None = connection.execute(query).scalar()
    return found


class Worker:
    """Runs due jobs with their handlers, many at a time, until it is stopped."""

    def __init__(
        self,
        store: Store,
        handlers: Mapping[str, Handler],
        *,
        owner: str,
        clock: Clock,
        concurrency: int = CONCURRENCY,
        lease_sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._lease_sleep = lease_sleep
        self._store = store
        self._handlers = handlers
        self._owner = owner
        self._clock = clock
        self._concurrency = concurrency
        self._running: dict[int, asyncio.Task[None]] = {}
        self._jobs: dict[int, Job] = {}
        self._wake = asyncio.Event()
        self._due: datetime | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self.finished: Callable[[Job, Outcome], None] = lambda _job, _outcome: None

    def wake(self) -> None:
        """Look for due jobs now: something was queued."""
        self._wake.set()

    async def run(self) -> None:
        """Work until `stop`; trouble with the store is waited out."""
        self._idle.clear()
        try:
            while not self._stopping:
                try:
                    await self._start_due()
                    pause = self._pause()
                except StoreError as error:
                    log.error("jobs wait for the store", reason=str(error))
                    pause = POLL_SECONDS
                await self._sleep(pause)
        finally:
            self._idle.set()

    async def keep_leases(self) -> None:
        """Renew the leases of what runs, until cancelled; `stop` needs it too, while it waits."""
        while True:
            await self._lease_sleep(LEASE.total_seconds() / 3)
            held = list(self._running)
            if not held:
                continue
            until = self._clock() + LEASE
            try:
                await self._store.write(partial(_extend, owner=self._owner, held=held, until=until))
            except StoreError as error:
                log.error("leases could not be extended", reason=str(error))

    async def stop(self, grace: float) -> None:
        """Start nothing more, wait `grace` seconds for what runs, then cancel it."""
        self._stopping = True
        self.wake()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace)  # what is being claimed just now is started first
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace)
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def drain(self) -> None:
        """Run every job that is due until none is left; the jobs that they queue too."""
        while await self._start_due() or self._running:
            await asyncio.gather(*self._running.values())

    async def _start_due(self) -> int:
        room = self._concurrency - len(self._running)
        if room <= 0:
            return 0
        now, running = self._clock(), dict(self._jobs)

        def look(connection: Connection) -> tuple[list[Job], datetime | None]:
            found = claim(connection, now, self._owner, room, running=running)
            return found, next_due(connection, (*running.values(), *found))

        claimed, self._due = await self._store.write(look)
        for job in claimed:
            task = asyncio.create_task(self._run_one(job), name=job.key)
            self._running[job.id] = task
            self._jobs[job.id] = job
            task.add_done_callback(lambda _, number=job.id: self._ended(number))  # type: ignore[misc] # mypy sees no type for the default
        return len(claimed)

    def _ended(self, number: int) -> None:
        del self._running[number], self._jobs[number]
        self.wake()

    async def _run_one(self, job: Job) -> None:
        try:
            outcome = await self._handlers[job.kind](job)
        except StoreError as error:
            outcome = again(str(error), backoff(job.attempts), reason="store")
        except Exception as error:
            log.exception("a job broke", kind=job.kind, key=job.key, attempts=job.attempts)
            outcome = again(f"internal error: {error!r}", backoff(job.attempts), reason="internal")
        try:
            ours = await self._finish(job, outcome)
        except StoreError as error:
            # The lease will run out, and the job is run again.
            log.error("the outcome of a job could not be stored", key=job.key, reason=str(error))
            return
        if not ours:
            log.warning("a job was finished by someone else meanwhile", key=job.key)

    async def _finish(self, job: Job, outcome: Outcome) -> bool:
        try:
            ours = await self._store.write(lambda c: finish(c, self._clock(), self._owner, job, outcome))
        except StoreError:
            raise
        except Exception as error:
            log.exception("what a job did could not be recorded", kind=job.kind, key=job.key, attempts=job.attempts)
            outcome = again(f"internal error: {error!r}", backoff(job.attempts), reason="internal")
            ours = await self._store.write(lambda c: finish(c, self._clock(), self._owner, job, outcome))
        if ours:
            self.finished(job, outcome)
        return ours

    def _pause(self) -> float:
        if len(self._running) >= self._concurrency or self._due is None:
            return POLL_SECONDS  # whichever ends first wakes us
        wait = (self._due - self._clock()).total_seconds()
        return min(max(wait, GATHER_SECONDS), POLL_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
            await asyncio.sleep(GATHER_SECONDS)
        self._wake.clear()


def _extend(connection: Connection, *, owner: str, held: list[int], until: datetime) -> None:
    connection.execute(update(jobs).where(jobs.c.id.in_(held), jobs.c.leased_by == owner).values(leased_until=until))
