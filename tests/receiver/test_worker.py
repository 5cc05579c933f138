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

from receiver.jobs import LEASE, QUEUE_LIMIT, Job, Outcome, State, Worker, done, enqueue
from receiver.store import Store
from receiver.store.schema import jobs as table
from tests.receiver.scene import MINUTE, NOON, SECOND, MovingClock, until
from tests.receiver.test_jobs import job, queue, states


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
    await queue(workshop.store, *(job(f"{number:02}", lane=str(number % 3)) for number in range(30)))
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
    await worker.stop(5)
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
    for _ in range(3):
        tick.release()
    await until(is_renewed)
    go.set()
    await draining
    keeping.cancel()


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
    await queue(workshop.store, job("a1", lane="a"), job("a2", lane="a"))
    running = asyncio.create_task(worker.run())
    await until(lambda: workshop.ran == ["a1"])
    event.listen(Engine, "begin", see)
    await asyncio.sleep(0.3)  # not for a result: what is tested is what it does meanwhile
    event.remove(Engine, "begin", see)
    go.set()
    await until(lambda: workshop.ran == ["a1", "a2"])
    await worker.stop(5)
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
        replace(job(f"{name}{n}"), queue=f"channel {name}") for name in range(20) for n in range(QUEUE_LIMIT + 2)
    ]
    await queue(workshop.store, *hanging)
    running = asyncio.create_task(worker.run())
    await until(lambda: len(workshop.ran) == 20 * QUEUE_LIMIT)
    await queue(workshop.store, replace(job("other"), queue="well"))
    worker.wake()
    await until(lambda: "other" in workshop.ran)
    go.set()
    await worker.stop(30)
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
    stopping = asyncio.create_task(worker.stop(30))
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
    with capture_logs() as told:
        await until(lambda: any(entry["event"] == "jobs wait for the store" for entry in told))
    other.close()
    worker.wake()
    await until(lambda: workshop.ran == ["a"])
    await worker.stop(5)
    await running
    assert await states(workshop.store) == {"a": State.DONE}
