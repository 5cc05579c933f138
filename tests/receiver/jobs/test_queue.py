"""The durable queue: what is claimed when and by whom, and how a job ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select

from deploywatch.receiver.jobs.claim import (
    LEASE,
    QUEUE_LIMIT,
    Look,
    claim,
    extend,
    finish_all,
    look,
    mark_uncertain,
    release_all,
)
from deploywatch.receiver.jobs.job import Job, NewJob, State
from deploywatch.receiver.jobs.leased import LeaseLostError
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, backoff, done, failed, retry
from deploywatch.receiver.store import Store
from deploywatch.receiver.store.schema import jobs as table
from deploywatch.receiver.store.schema import quarantine
from tests.receiver.scene import MINUTE, NOON, SECOND


def job(key: str, *, serial_key: str = "", at: timedelta = timedelta(), kind: str = "note") -> NewJob:
    """A job with a serial key of its own, unless `serial_key` says otherwise."""
    return NewJob(kind=kind, key=key, serial_key=serial_key or key, run_at=NOON + at)


async def queue(store: Store, *new: NewJob) -> None:
    await store.write(lambda c: enqueue(c, NOON, *new))


async def claimed(store: Store, *, after: timedelta = timedelta(), owner: str = "one", limit: int = 10) -> list[Job]:
    return await store.write(lambda c: claim(c, NOON + after, owner, limit))


async def end(store: Store, one: Job, outcome: Outcome, *, owner: str = "one", after: timedelta = timedelta()) -> bool:
    return one.id in await store.write(lambda c: finish_all(c, NOON + after, owner, [(one, outcome)]))


async def states(store: Store) -> dict[str, str]:
    rows = await store.read(lambda c: c.execute(select(table.c.key, table.c.state)).all())
    return {row.key: row.state for row in rows}


def keep(connection: Connection, reason: str) -> None:
    """Something that the end of a job may write."""
    row = {"received_at": NOON, "reason": reason, "remote": "", "body": b""}
    connection.execute(quarantine.insert(), [row])


async def kept(store: Store) -> list[str]:
    """Reasons that were kept, in their order."""
    return list(await store.read(lambda c: c.execute(select(quarantine.c.reason).order_by(quarantine.c.id)).scalars()))


def keys(found: list[Job]) -> list[str]:
    return [one.key for one in found]


async def test_what_is_due_first_is_claimed_first(store: Store) -> None:
    await queue(store, job("late", at=-SECOND), job("early", at=-MINUTE), job("future", at=SECOND))
    assert keys(await claimed(store)) == ["early", "late"]


async def test_no_more_is_claimed_than_asked_for(store: Store) -> None:
    await queue(store, *(job(str(number)) for number in range(5)))
    assert len(await claimed(store, limit=2)) == 2


async def test_jobs_of_a_lane_are_claimed_one_after_another(store: Store) -> None:
    await queue(store, job("a1", serial_key="a"), job("a2", serial_key="a"), job("b1", serial_key="b"))
    first, other = await claimed(store)
    assert keys([first, other]) == ["a1", "b1"]
    assert await claimed(store) == []
    await end(store, first, done())
    assert keys(await claimed(store)) == ["a2"]


async def test_a_job_that_waits_to_be_retried_holds_its_lane_back(store: Store) -> None:
    await queue(store, job("a1", serial_key="a"), job("a2", serial_key="a"))
    (first,) = await claimed(store)
    await end(store, first, retry("later", MINUTE))
    assert await claimed(store) == []
    assert keys(await claimed(store, after=MINUTE)) == ["a1"]


async def test_a_job_that_was_given_up_lets_its_lane_go_on(store: Store) -> None:
    await queue(store, job("a1", serial_key="a"), job("a2", serial_key="a"))
    (first,) = await claimed(store)
    await end(store, first, failed("no"))
    assert keys(await claimed(store)) == ["a2"]


async def test_the_same_key_is_queued_once_for_ever(store: Store) -> None:
    await queue(store, job("a"))
    await queue(store, job("a"))
    (only,) = await claimed(store)
    await end(store, only, done())
    await queue(store, job("a"))
    assert await states(store) == {"a": State.DONE}


async def test_names_of_any_length_are_queued_and_stay_distinct(store: Store) -> None:
    await queue(store, job("k" * 5000 + "1"), job("k" * 5000 + "2"), job("k" * 5000 + "1"))
    found = keys(await claimed(store))
    assert len(found) == 2
    assert all(len(key) <= 200 for key in found)


async def test_two_owners_never_hold_the_same_job(store: Store) -> None:
    await queue(store, *(job(str(number)) for number in range(40)))
    both = await asyncio.gather(*(claimed(store, owner=owner, limit=20) for owner in ("one", "two")))
    assert [len(found) for found in both] == [QUEUE_LIMIT, QUEUE_LIMIT]
    assert len({one.id for found in both for one in found}) == 2 * QUEUE_LIMIT


async def test_a_queue_at_its_limit_leaves_room_for_the_others(store: Store) -> None:
    hanging = [NewJob("deliver", f"hanging {n}", f"lane {n}", NOON, queue="deliver:team") for n in range(30)]
    await store.write(lambda c: enqueue(c, NOON, *hanging))
    first = await store.write(lambda c: claim(c, NOON, "one", 64))
    await store.write(lambda c: enqueue(c, NOON, NewJob("deliver", "other", "other lane", NOON, queue="deliver:mail")))
    running = {one.id: one for one in first}
    second = await store.write(lambda c: claim(c, NOON, "one", 56, running=running))
    assert len(first) == QUEUE_LIMIT
    assert [one.key for one in second] == ["other"]


async def test_what_waits_for_room_in_its_queue_makes_no_next_time(store: Store) -> None:
    hanging = [NewJob("deliver", f"hanging {n}", f"lane {n}", NOON, queue="deliver:team") for n in range(30)]
    await store.write(lambda c: enqueue(c, NOON, *hanging))
    running = await store.write(lambda c: claim(c, NOON, "one", 64))
    held = {task.id: task for task in running}
    assert await store.write(lambda c: look(c, NOON, "one", 64, running=held)) == Look([], None)
    held.pop(running[0].id)
    found = await store.write(lambda c: look(c, NOON, "one", 64, running=held))
    assert (len(found.claimed), found.next_due) == (1, None)


async def test_a_look_that_has_no_room_for_all_that_is_due_is_followed_by_another_at_once(store: Store) -> None:
    await queue(store, job("a"), job("b"), job("future", at=MINUTE))
    found = await store.write(lambda c: look(c, NOON, "one", 1))
    assert (keys(found.claimed), found.next_due) == (["a"], NOON)
    found = await store.write(lambda c: look(c, NOON, "one", 10))
    assert (keys(found.claimed), found.next_due) == (["b"], NOON + MINUTE)


async def test_jobs_that_end_together_are_stored_together_but_for_those_that_somebody_took_over(store: Store) -> None:
    await queue(store, job("a"), job("b"), job("c"), job("d"))
    ours = await claimed(store)
    await claimed(store, after=2 * LEASE, owner="two", limit=1)
    ends = [(one, done(one.key, partial(keep, reason=one.key))) for one in ours]
    try:
        stored = await store.write(lambda c: finish_all(c, NOON, "one", ends))
    except LeaseLostError:  # SQLite cannot tell which it was: each is asked for itself
        stored = {one.id for one, outcome in ends if await end(store, one, outcome)}
    assert stored == {one.id for one in ours[1:]}
    assert await states(store) == {"a": State.RUNNING, "b": State.DONE, "c": State.DONE, "d": State.DONE}
    assert await kept(store) == ["b", "c", "d"]


async def test_a_lease_that_ran_out_is_taken_over_and_counts_as_an_attempt(store: Store) -> None:
    await queue(store, job("a"))
    (mine,) = await claimed(store)
    assert await claimed(store, owner="two", after=LEASE) == []
    (theirs,) = await claimed(store, owner="two", after=LEASE + SECOND)
    assert (mine.attempts, theirs.attempts) == (1, 2)


async def test_what_was_cut_off_is_in_doubt_from_then_on_and_once_however_often_it_is_taken_over(store: Store) -> None:
    await queue(store, job("a"))
    found = [(await claimed(store, after=number * 2 * LEASE))[0] for number in range(3)]
    assert [one.uncertain_attempts for one in found] == [0, 1, 1]
    await end(store, found[-1], retry("busy", SECOND), after=4 * LEASE)
    assert [job.uncertain_attempts for job in await claimed(store, after=5 * LEASE)] == [1]


async def test_what_is_done_once_more_is_in_doubt_before_it_is_done(store: Store) -> None:
    await queue(store, job("a"))
    await claimed(store)
    (second,) = await claimed(store, after=2 * LEASE)
    assert await store.write(lambda c: mark_uncertain(c, second, 2))
    (third,) = await claimed(store, after=4 * LEASE)
    assert third.uncertain_attempts == 2
    assert not await store.write(lambda c: mark_uncertain(c, second, 3))


async def test_an_end_that_was_seen_says_what_is_in_doubt(store: Store) -> None:
    await queue(store, job("a"))
    (first,) = await claimed(store)
    await end(store, first, retry("no answer", SECOND, uncertain_attempts=1))
    (second,) = await claimed(store, after=SECOND)
    assert second.uncertain_attempts == 1
    await end(store, second, retry("refused", SECOND, uncertain_attempts=0))
    assert [job.uncertain_attempts for job in await claimed(store, after=MINUTE)] == [0]


async def test_only_the_leases_that_one_still_has_are_renewed(store: Store) -> None:
    await queue(store, job("a"), job("b"))
    first, second = await claimed(store)
    await end(store, first, done())
    renew = partial(extend, owner="one", held=[first.id, second.id], until=NOON + 2 * LEASE)
    assert await store.write(renew) == {second.id}
    assert await claimed(store, owner="two", after=2 * LEASE) == []
    assert keys(await claimed(store, owner="two", after=2 * LEASE + SECOND)) == ["b"]
    assert await store.write(renew) == set()


async def test_an_end_after_the_lease_was_lost_writes_nothing(store: Store) -> None:
    await queue(store, job("a"))
    (mine,) = await claimed(store)
    (theirs,) = await claimed(store, owner="two", after=LEASE + SECOND)
    wrote: list[str] = []
    assert not await end(store, mine, done("mine", lambda _: wrote.append("mine")))
    assert await end(store, theirs, done("theirs", lambda _: wrote.append("theirs")), owner="two")
    assert wrote == ["theirs"]


async def test_an_end_of_an_earlier_attempt_writes_nothing_even_under_the_same_name(store: Store) -> None:
    await queue(store, job("a"))
    (before,) = await claimed(store)
    (now,) = await claimed(store, after=LEASE + SECOND)
    assert not await end(store, before, failed("before"))
    assert await end(store, now, done("now"))
    assert await states(store) == {"a": State.DONE}


async def test_an_end_and_what_it_changed_are_written_together(store: Store) -> None:
    await queue(store, job("a"))
    (mine,) = await claimed(store)

    def record(connection: Any) -> None:
        row = {"received_at": NOON, "reason": "", "remote": "", "body": b""}
        connection.execute(quarantine.insert(), [row])
        raise RuntimeError("after the row was written")

    with pytest.raises(RuntimeError):
        await end(store, mine, done(record=record))
    assert await states(store) == {"a": State.RUNNING}
    assert await store.read(lambda c: c.execute(select(quarantine.c.id)).all()) == []


async def test_leases_are_released_when_the_process_that_held_them_is_gone(store: Store) -> None:
    await queue(store, job("a"))
    await claimed(store)
    await store.write(lambda c: release_all(c, NOON))
    (again_,) = await claimed(store)
    assert again_.attempts == 2


def test_retries_wait_longer_each_time_and_at_most_five_minutes() -> None:
    waits = [backoff(attempts) for attempts in range(1, 12)]
    assert waits[:4] == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]
    assert waits[-1] == backoff(1000) == 5 * MINUTE


async def test_the_next_time_is_that_of_the_earliest_job_that_waits_for_its_time_only(store: Store) -> None:
    async def next_due() -> Any:
        return (await store.write(lambda c: look(c, NOON, "one", 10))).next_due

    assert await next_due() is None
    await queue(store, job("a1", serial_key="a", at=MINUTE), job("a2", serial_key="a"), job("b", at=2 * MINUTE))
    assert await next_due() == NOON + MINUTE
