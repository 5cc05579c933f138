"""The worker: runs what is due, survives what breaks, and stops in order."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select
from structlog.testing import capture_logs

from deploywatch.receiver.jobs import worker as worker_module
from deploywatch.receiver.jobs.claim import LEASE, QUEUE_LIMIT, claim
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.jobs.worker import CLOCKS_APART, POLL_SECONDS, RENEWED, Worker
from deploywatch.receiver.store import Store
from deploywatch.receiver.store.schema import jobs as table
from tests.receiver.jobs.test_queue import job, queue, states
from tests.receiver.scene import MINUTE, NOON, SECOND, MovingClock, until


@dataclass(slots=True)
class Workshop:
    """A worker whose handlers are written in the test, and what it has run."""

    store: Store
    clock: MovingClock
    ran: list[str] = field(default_factory=list)
    finished: list[Outcome] = field(default_factory=list)

    def worker(self, handle: Callable[[Job], Awaitable[Outcome]] | None = None, **more: Any) -> Worker:
        """A worker that notes each key and then handles it."""

        async def noted(one: Job) -> Outcome:
            self.ran.append(one.key)
            return await handle(one) if handle else done()

        worker = Worker(self.store, {"note": noted}, clock=self.clock, **{"owner": "one", **more})
        worker.finished = lambda _, outcome: self.finished.append(outcome)
        return worker


@pytest.fixture
def workshop(store: Store, clock: MovingClock) -> Workshop:
    return Workshop(store, clock)


async def test_a_handler_that_raises_is_retried_after_a_while(workshop: Workshop) -> None:
    async def broken(one: Job) -> Outcome:
        if one.attempts == 1:
            raise RuntimeError("a bug")
        return done()

    worker = workshop.worker(broken)
    await queue(workshop.store, job("a"))
    await worker.drain()
    assert await states(workshop.store) == {"a": State.READY}
    workshop.clock.advance(SECOND)
    await worker.drain()
    assert await states(workshop.store) == {"a": State.DONE}
    assert [one.note for one in workshop.finished] == ["internal error: RuntimeError('a bug')", ""]


async def test_what_listens_for_jobs_and_breaks_keeps_none_waiting(workshop: Workshop) -> None:
    async def together(_: Job) -> Outcome:
        await asyncio.sleep(0)
        return done()

    def broken(_: Job, __: Outcome) -> None:
        raise RuntimeError("a bug")

    worker = workshop.worker(together)
    worker.finished = broken
    await queue(workshop.store, *(job(name) for name in "abc"))
    await worker.drain()
    assert workshop.ran == ["a", "b", "c"]
    assert await states(workshop.store) == dict.fromkeys("abc", State.DONE)


async def test_a_job_of_an_unknown_kind_is_kept_for_a_release_that_knows_it(workshop: Workshop) -> None:
    await queue(workshop.store, job("a", kind="of tomorrow"))
    await workshop.worker().drain()
    assert await states(workshop.store) == {"a": State.READY}


async def test_a_result_that_cannot_be_recorded_is_retried_after_a_while(workshop: Workshop) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a bug")

    async def handle(_: Job) -> Outcome:
        return done(record=broken)

    await queue(workshop.store, job("a"))
    await workshop.worker(handle).drain()
    assert await states(workshop.store) == {"a": State.READY}


async def test_a_worker_runs_what_its_jobs_queue(workshop: Workshop) -> None:
    async def handle(one: Job) -> Outcome:
        return done(record=lambda c: enqueue(c, NOON, job("child")))

    await queue(workshop.store, job("parent"))
    await workshop.worker(handle).drain()
    assert workshop.ran == ["parent", "child"]


async def test_two_workers_on_one_store_run_each_job_once(workshop: Workshop) -> None:
    await queue(workshop.store, *(job(f"{number:02}", serial_key=str(number % 3)) for number in range(30)))
    await asyncio.gather(*(workshop.worker(owner=owner).drain() for owner in ("one", "two")))
    assert sorted(workshop.ran) == [f"{number:02}" for number in range(30)]


async def test_a_clock_that_jumps_does_not_start_a_running_job_again(workshop: Workshop) -> None:
    go = asyncio.Event()

    async def wait(_: Job) -> Outcome:
        await go.wait()
        return done()

    worker = workshop.worker(wait)
    await queue(workshop.store, job("a"))
    running = asyncio.create_task(worker.run())
    await until(lambda: workshop.ran == ["a"])
    workshop.clock.advance(60 * MINUTE)
    await queue(workshop.store, job("b"))
    worker.wake()
    await until(lambda: "b" in workshop.ran)
    go.set()
    await worker.stop(60)
    await running
    assert workshop.ran == ["a", "b"]
    assert await states(workshop.store) == {"a": State.DONE, "b": State.DONE}


async def test_leases_of_running_jobs_are_renewed(workshop: Workshop) -> None:
    go, tick = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: Job) -> Outcome:
        await go.wait()
        return done()

    async def lease_sleep(seconds: float) -> None:
        await tick.acquire()
        workshop.clock.advance(timedelta(seconds=seconds))

    async def leased_until() -> Any:
        return await workshop.store.read(lambda c: c.execute(select(table.c.leased_until)).scalar())

    async def is_renewed() -> bool:
        return bool(await leased_until() == NOON + 2 * LEASE)

    worker = workshop.worker(wait, lease_sleep=lease_sleep)
    keeping = asyncio.create_task(worker.keep_leases())
    await queue(workshop.store, job("a"))
    draining = asyncio.create_task(worker.drain())
    await until(lambda: workshop.ran == ["a"])
    for _ in range(4):
        tick.release()
    await until(is_renewed)
    go.set()
    await draining
    keeping.cancel()


async def test_the_work_of_a_dead_worker_is_taken_over_within_thirty_seconds(workshop: Workshop) -> None:
    await queue(workshop.store, job("a"))
    await workshop.store.write(lambda c: claim(c, NOON, "one that dies at once", 9))
    other, looks = workshop.worker(owner="two"), 0
    while not workshop.ran:
        await other.drain()
        workshop.clock.advance(timedelta(seconds=POLL_SECONDS))
        looks += 1
        assert looks < 100
    assert workshop.clock.now - NOON <= LEASE + 2 * timedelta(seconds=POLL_SECONDS) <= 30 * SECOND


def test_a_lease_outlives_two_renewals_that_fail_and_a_fence_falls_before_it_ends() -> None:
    assert 3 * RENEWED <= LEASE - CLOCKS_APART
    assert LEASE - CLOCKS_APART < LEASE


async def test_what_a_paused_worker_was_about_to_do_is_cut_off_once_its_lease_may_be_over(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []

    async def slow(one: Job) -> Outcome:
        await workshop.store.read(lambda _: None)
        did.append(one.key)
        return done()

    monkeypatch.setattr(worker_module, "LEASE", CLOCKS_APART)  # as if all of it had passed in a pause
    await queue(workshop.store, job("a"))
    with capture_logs() as logged:
        await workshop.worker(slow, fenced={"note"}).drain()
    assert did == []
    assert [entry["event"] for entry in logged] == ["a job was cut off, as its lease may be over"]
    assert await states(workshop.store) == {"a": State.RUNNING}
    (theirs,) = await workshop.store.write(lambda c: claim(c, NOON + MINUTE, "two", 9))
    assert theirs.uncertain_attempts == 1


async def test_what_runs_longer_than_its_lease_goes_on_while_that_is_renewed_and_not_beyond(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, renewals = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: Job) -> Outcome:
        await go.wait()
        return done()

    async def lease_sleep(_: float) -> None:
        await renewals.acquire()

    now = asyncio.get_running_loop().time()
    fences = iter([now + 3600, now])
    monkeypatch.setattr(worker_module, "_fence", lambda: next(fences, now))
    worker = workshop.worker(wait, fenced={"note"}, lease_sleep=lease_sleep)
    keeping = asyncio.create_task(worker.keep_leases())
    await queue(workshop.store, job("a"))
    draining = asyncio.create_task(worker.drain())
    await until(lambda: workshop.ran == ["a"])
    assert not draining.done()
    renewals.release()
    await draining
    keeping.cancel()
    assert await states(workshop.store) == {"a": State.RUNNING}


async def test_a_timeout_of_the_handlers_own_is_no_lost_lease(workshop: Workshop) -> None:
    async def late(_: Job) -> Outcome:
        raise TimeoutError("the handler's")

    await queue(workshop.store, job("a"))
    await workshop.worker(late, fenced={"note"}).drain()
    assert await states(workshop.store) == {"a": State.READY}


@pytest.mark.sqlite_only
async def test_what_was_done_is_not_done_again_because_the_store_was_in_trouble(
    workshop: Workshop, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)

    async def handle(_: Job) -> Outcome:
        other.execute("BEGIN EXCLUSIVE")
        return done()

    await workshop.store.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=5"))
    await queue(workshop.store, job("a"))
    with capture_logs() as logged:
        draining = asyncio.create_task(workshop.worker(handle).drain())
        await until(lambda: any(entry["event"] == "the outcome of a job waits for the store" for entry in logged))
    other.close()
    await draining
    assert workshop.ran == ["a"]
    assert await states(workshop.store) == {"a": State.DONE}


@pytest.mark.parametrize("took", [True, False], ids=["another took it", "nobody took it"])
async def test_what_was_done_after_its_lease_was_lost_is_said_where_another_has_it(
    workshop: Workshop, took: bool
) -> None:
    lost: list[tuple[str, str]] = []

    async def slow(_: Job) -> Outcome:
        if took:
            await workshop.store.write(lambda c: claim(c, NOON + MINUTE, "two", 9))
        return done("sent")

    worker = workshop.worker(slow)
    worker.lost = lambda _, one, outcome: lost.append((one.key, outcome.note if outcome else "cut off"))
    await queue(workshop.store, job("a"))
    await worker.drain()
    assert lost == ([("a", "sent")] if took else [])


async def test_what_was_cut_off_is_lost_only_once_another_has_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[Outcome | None] = []

    async def slow(one: Job) -> Outcome:
        if one.key == "b":
            await workshop.store.write(lambda c: claim(c, NOON + MINUTE, "two", 9))
        await asyncio.sleep(60)
        return done()

    monkeypatch.setattr(worker_module, "LEASE", CLOCKS_APART + SECOND)
    for key, said in (("a", 0), ("b", 1)):
        await queue(workshop.store, job(key))
        worker = workshop.worker(slow, fenced={"note"})
        worker.lost = lambda _connection, _job, outcome: lost.append(outcome)
        await worker.drain()
        assert lost == [None] * said


async def test_a_job_runs_when_its_time_comes_and_not_before(workshop: Workshop) -> None:
    worker = workshop.worker()
    await queue(workshop.store, job("a", at=MINUTE))
    await worker.drain()
    assert workshop.ran == []
    workshop.clock.advance(MINUTE)
    await worker.drain()
    assert workshop.ran == ["a"]


async def test_a_worker_whose_lane_is_busy_rests(workshop: Workshop) -> None:
    go, looks = asyncio.Event(), list[object]()

    async def wait(_: Job) -> Outcome:
        await go.wait()
        return done()

    def see(connection: object) -> None:
        looks.append(connection)

    worker = workshop.worker(wait)
    await queue(workshop.store, job("a1", serial_key="a"), job("a2", serial_key="a"))
    running = asyncio.create_task(worker.run())
    await until(lambda: workshop.ran == ["a1"])
    event.listen(Engine, "begin", see)
    await asyncio.sleep(0.3)  # not for a result: what is tested is what it does meanwhile
    event.remove(Engine, "begin", see)
    go.set()
    await until(lambda: workshop.ran == ["a1", "a2"])
    await worker.stop(60)
    await running
    assert len(looks) <= 4


async def test_many_queues_that_hang_leave_room_for_another(workshop: Workshop) -> None:
    go = asyncio.Event()

    async def hang(one: Job) -> Outcome:
        if one.queue != "well":
            await go.wait()
        return done()

    worker = workshop.worker(hang)
    hanging = [
        replace(job(f"{name}{n}"), queue=f"channel {name}") for name in range(10) for n in range(QUEUE_LIMIT + 2)
    ]
    await queue(workshop.store, *hanging)
    running = asyncio.create_task(worker.run())
    await until(lambda: len(workshop.ran) == 10 * QUEUE_LIMIT)
    await queue(workshop.store, replace(job("other"), queue="well"))
    worker.wake()
    await until(lambda: "other" in workshop.ran)
    go.set()
    await worker.stop(60)
    await running


async def test_stop_waits_for_what_runs(workshop: Workshop) -> None:
    go = asyncio.Event()

    async def wait(_: Job) -> Outcome:
        await go.wait()
        return done()

    worker = workshop.worker(wait)
    await queue(workshop.store, job("a"))
    running = asyncio.create_task(worker.run())
    await until(lambda: workshop.ran == ["a"])
    stopping = asyncio.create_task(worker.stop(60))
    await running
    assert not stopping.done()
    go.set()
    await stopping
    assert await states(workshop.store) == {"a": State.DONE}


async def test_stop_cancels_what_does_not_end_in_time_and_leaves_it_to_the_next_start(workshop: Workshop) -> None:
    async def wait(_: Job) -> Outcome:
        await asyncio.Event().wait()
        return done()

    worker = workshop.worker(wait)
    await queue(workshop.store, job("a"))
    running = asyncio.create_task(worker.run())
    await until(lambda: workshop.ran == ["a"])
    await worker.stop(0.01)
    await running
    assert await states(workshop.store) == {"a": State.RUNNING}


@pytest.mark.sqlite_only
async def test_trouble_with_the_store_is_waited_out(workshop: Workshop, tmp_path: Path) -> None:
    await workshop.store.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=5"))
    await queue(workshop.store, job("a"))
    worker, other = workshop.worker(), sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    running = asyncio.create_task(worker.run())
    with capture_logs() as logged:
        await until(lambda: any(entry["event"] == "jobs wait for the store" for entry in logged))
    other.close()
    worker.wake()
    await until(lambda: workshop.ran == ["a"])
    await worker.stop(60)
    await running
    assert await states(workshop.store) == {"a": State.DONE}
