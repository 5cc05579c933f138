"""What is due is leased: a look at the queue, the lease renewed, and how a job ended written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    exists,
    select,
    true,
    union_all,
    update,
)

from deploywatch.receiver.jobs.job import Job, State, Urgency
from deploywatch.receiver.jobs.leased import update_leased
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.store.schema import jobs

# Long enough that a slow commit loses nothing, short enough that a page which a dead replica held goes out within half
# a minute.
LEASE = timedelta(seconds=20)
"""For how long a job is its worker's, unless renewed; then others take it over."""
# A channel that hangs takes these and no more; all other queues have room beside it.
QUEUE_LIMIT = 16
"""Jobs of one queue that a worker runs at a time."""
_earlier = jobs.alias("earlier")
# What a look at the queue needs is built once; this is whether an earlier job of the serial key is not over.
_BLOCKED = exists().where(
    _earlier.c.serial_key == jobs.c.serial_key,
    _earlier.c.id < jobs.c.id,
    _earlier.c.state.in_((State.READY, State.RUNNING)),
)
_HAS_ROOM = jobs.c.queue.not_in(bindparam("full", expanding=True))


def _first_of(*which: ColumnElement[bool], order: ColumnElement[Any]) -> Select[Any]:
    """The first jobs of one kind that may run now; an index gives them in their order."""
    # Limited within each part of the union, before they are joined: else each look would sort the whole backlog.
    query = select(jobs).where(*which, _HAS_ROOM, ~_BLOCKED).order_by(order, jobs.c.id).limit(bindparam("most"))
    return select(query.subquery())


# Each urgency is asked for itself: however much of a lower one is due, it costs nothing to find what comes before it.
_DUE = union_all(
    *(
        _first_of(
            jobs.c.state == State.READY,
            jobs.c.urgency == urgency,
            jobs.c.run_at <= bindparam("now"),
            order=jobs.c.run_at,
        )
        for urgency in Urgency
    ),
    # Leases that ran out, of whoever held them: this is the whole recovery after a crash.
    _first_of(jobs.c.state == State.RUNNING, jobs.c.leased_until < bindparam("now"), order=jobs.c.leased_until),
).subquery("due")
_NEXT = (
    select(jobs.c.run_at)
    .where(jobs.c.state == State.READY, jobs.c.run_at > bindparam("now"), ~_BLOCKED)
    .order_by(jobs.c.run_at)
    .limit(1)
    .scalar_subquery()
)
_ONE = select(_NEXT.label("next_run_at")).subquery("one")
# One row at least: when the next job is due, beside each job that is due now.
_LOOK = (
    select(_ONE.c.next_run_at, *_DUE.c)
    .select_from(_ONE.outerjoin(_DUE, true()))
    .order_by(_DUE.c.urgency, _DUE.c.run_at, _DUE.c.id)
    .limit(bindparam("most"))
)
# An attempt whose end was not seen is in doubt, unless it said so itself (`doubt`).
_UNCERTAIN = case(
    (and_(jobs.c.state == State.RUNNING, jobs.c.uncertain_attempts == 0), 1), else_=jobs.c.uncertain_attempts
)


def claim(
    connection: Connection, now: datetime, owner: str, limit: int, *, running: Mapping[int, Job] | None = None
) -> list[Job]:
    """Lease what is due, the most urgent first, at most one job a serial key; a lease that ran out may be taken over.

    Not those that are `running`: the claimant runs them still, whatever the clock says about their leases. They also
    count towards their queues' limits.
    """
    return look(connection, now, owner, limit, running=running).claimed


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the queue leased, and when the earliest job is due that waits only for its time.

    Not one that waits for another of its serial key, or for room in its queue.
    """

    claimed: list[Job]
    next_due: datetime | None


def look(
    connection: Connection, now: datetime, owner: str, limit: int, *, running: Mapping[int, Job] | None = None
) -> Look:
    """Lease jobs as `claim` does, and see when the next look is worth it."""
    # By what is in hand, not by the store alone: a lease may have run out while we are still at it.
    held = running or {}
    busy = Counter(job.queue for job in held.values())
    # Twice as many as there is room for, since some will be of queues that fill up within this very look.
    asked = {"now": now, "full": _full(busy), "most": 2 * limit}
    rows: list[RowMapping] = []
    rows_found = connection.execute(_LOOK, asked).mappings().all()
    due = [row for row in rows_found if row["id"] is not None and row["id"] not in held]
    for row in due:
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
    # Cut off by a limit: there may be more that is due, so the next look is at once.
    more = len(rows_found) == 2 * limit or len(rows) == limit
    return Look([_leased(row) for row in rows], now if more else rows_found[0]["next_run_at"])


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
        urgency=Urgency(row["urgency"]),
        uncertain_attempts=row["uncertain_attempts"] or int(row["state"] == State.RUNNING),
    )


def mark_uncertain(connection: Connection, job: Job, uncertain_attempts: int) -> bool:
    """Write down, before it is done once more, what is in doubt from now on; False when the job is no longer ours."""
    changed = connection.execute(
        update(jobs)
        # The attempt is the fence: whoever took the job over has counted it up.
        .where(jobs.c.id == job.id, jobs.c.attempts == job.attempts, jobs.c.state == State.RUNNING)
        .values(uncertain_attempts=uncertain_attempts)
    )
    return changed.rowcount == 1


def is_leased(connection: Connection, job: Job, owner: str) -> bool:
    """Whether this attempt at the job is still the owner's."""
    ours = (jobs.c.id == job.id, jobs.c.leased_by == owner, jobs.c.attempts == job.attempts)
    return connection.execute(select(jobs.c.id).where(*ours, jobs.c.state == State.RUNNING)).first() is not None


def _full(busy: Mapping[str, int]) -> list[str]:
    """The queues at their limit, with so many running."""
    return [queue for queue, count in busy.items() if count >= QUEUE_LIMIT]


def _ended(job: Job, outcome: Outcome, now: datetime) -> dict[str, Any]:
    return {
        "which": job.id,
        "attempt": job.attempts,
        "state": outcome.state,
        "run_at": now + outcome.after,
        # An error may repeat a whole page that a channel answered.
        "note": outcome.note[:2000],
        "reason": outcome.reason,
        "finished_at": now if outcome.state in (State.DONE, State.FAILED) else None,
        "uncertain_attempts": outcome.uncertain_attempts,
    }


def finish_all(connection: Connection, now: datetime, owner: str, ends: Sequence[tuple[Job, Outcome]]) -> set[int]:
    """Write how jobs ended and what they changed, but for those whose lease is no longer ours; which were comes back.

    LeaseLostError, and the transaction is to be given up, where it cannot be told which of several was lost.
    """
    ours = update_leased(connection, owner, [_ended(job, outcome, now) for job, outcome in ends])
    for job, outcome in ends:
        if job.id in ours and outcome.record:
            outcome.record(connection)
    return ours


def release_all(connection: Connection, now: datetime) -> None:
    """End every lease: for a store that belongs to one process, where those who held them are gone."""
    connection.execute(update(jobs).where(jobs.c.state == State.RUNNING).values(leased_until=now - LEASE))


def extend(connection: Connection, *, owner: str, held: Collection[int], until: datetime) -> set[int]:
    """Renew the leases that the owner still has; which those are comes back."""
    ours = (jobs.c.id.in_(held), jobs.c.leased_by == owner, jobs.c.state == State.RUNNING)
    connection.execute(update(jobs).where(*ours).values(leased_until=until))
    return set(connection.execute(select(jobs.c.id).where(*ours)).scalars())
