"""Two receivers on one PostgreSQL in a storm: one is killed or paused at a time, and the other goes on."""

from __future__ import annotations

import asyncio
import re
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import asyncpg
import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.receiver.jobs.claim import LEASE
from tests.receiver.process import RealReceiver, eventually
from tests.support import books
from tests.support.ground import Ground, ground

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

KILLS = 8
RESTARTS = 4
SEED = 20_260_502


@pytest.fixture
def database(postgres_server: Running) -> str:
    """A database of the test's own on a real PostgreSQL."""
    name = f"replicas_{uuid.uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(postgres_server.url)
        await connection.execute(f"create database {name}")
        await connection.close()

    asyncio.run(create())
    return f"{postgres_server.url.rpartition('/')[0]}/{name}"


@pytest.fixture
def place(database: str, tmp_path: Path) -> Iterator[Ground]:
    """Two replicas that were started at the same time on a new database, with every alert taken in."""
    with Processes(tmp_path / "logs") as processes, two_replicas(processes, tmp_path / "ground", database) as set_up:
        yield set_up


@contextmanager
def two_replicas(processes: Processes, folder: Path, database: str) -> Iterator[Ground]:
    """The same on any database."""
    dice = Random(SEED)  # noqa: S311 - a storm that can be repeated, no secret
    with ground(processes, folder, dice, database=database, replicas=2) as set_up:
        for receiver in set_up.receivers:
            receiver.child = receiver.launch()
        for receiver in set_up.receivers:
            _ready(receiver)
        set_up.begin(set_up.receivers[0])
        yield set_up


def _ready(receiver: RealReceiver) -> None:
    eventually(lambda: receiver.get("/-/ready")[0] == 200, "start the receiver", receiver.child)


def test_whichever_replica_is_killed_nothing_is_lost_and_nothing_done_twice(place: Ground) -> None:
    blowing = place.storm.blow()
    for _ in range(KILLS):
        victim, other = place.dice.sample(place.receivers, 2)
        _ready(other)
        _ready(victim)
        place.deploy(other, place.dice.choice(place.storm.services))
        time.sleep(place.dice.uniform(0, 1.5))  # the moment of the kill
        victim.kill()
        victim.child = victim.launch()
    place.storm.calm(blowing)
    settled = place.settle()
    print(f"seed {SEED}: {KILLS} kills, {books.summary(settled)}")  # noqa: T201 - the counts
    assert books.faults(settled, place.storm.last.values()) == []


def test_while_a_replica_is_paused_beyond_its_lease_the_other_does_its_work_and_afterwards_nothing_is_done_again(
    place: Ground,
) -> None:
    paused, other = place.receivers
    blowing = place.storm.blow()
    for service in place.storm.services:
        place.deploy(other, service)
    _pause_while_it_writes(place, paused)
    paused_at = time.monotonic()
    time.sleep(place.dice.uniform(1, 3))  # the storm goes on for a while
    place.storm.calm(blowing)
    settled = place.settle()
    took = time.monotonic() - paused_at
    assert books.faults(settled, place.storm.last.values()) == []

    assert paused.child is not None
    paused.child.send(signal.SIGCONT)
    _ready(paused)
    eventually(lambda: paused.get("/api/v1/incidents")[0] == 200, "the paused replica works again")
    after = place.settle()
    print(f"seed {SEED}: settled {took:.0f} s after the pause began (the lease is {LEASE}), {books.summary(after)}")  # noqa: T201 - the counts
    assert books.faults(after, place.storm.last.values()) == []


def test_a_postgresql_that_is_killed_and_comes_back_loses_nothing_and_doubles_nothing(
    workshop: Path, tmp_path: Path
) -> None:
    folder = workshop / uuid.uuid4().hex
    with Processes(tmp_path / "logs") as processes:
        server = servers.postgres(processes, folder)
        with two_replicas(processes, tmp_path / "ground", server.url) as place:
            blowing = place.storm.blow()
            for _ in range(RESTARTS):
                time.sleep(place.dice.uniform(0.5, 2))  # the moment at which it dies
                server.child.send(signal.SIGKILL)
                server.child.process.wait(90)
                _sees_that_the_store_fails(place.receivers[0])
                time.sleep(place.dice.uniform(0, 2))  # how long it stays away
                server = servers.postgres(processes, folder, port=server.port)
            place.storm.calm(blowing)
            settled = place.settle()
            assert all(receiver.child and receiver.child.running for receiver in place.receivers)
            print(f"seed {SEED}: {RESTARTS} restarts, {books.summary(settled)}")  # noqa: T201 - the counts
            assert books.faults(settled, place.storm.last.values()) == []


def _sees_that_the_store_fails(receiver: RealReceiver) -> None:
    """Whoever looks meanwhile is told, people and programs."""
    status, page = receiver.get("/")
    assert (status, "The store does not answer" in page, "Alertmanager sends them again" in page) == (503, True, True)
    status, text = receiver.get("/api/v1/incidents")
    assert (status, text.startswith("the database failed: ")) == (503, True)
    status, text = receiver.get("/metrics")
    assert status == 200
    assert re.search(r'^deploywatch_store_failures_total\{operation="read"\} [1-9]', text, re.MULTILINE)


def _pause_while_it_writes(place: Ground, replica: RealReceiver) -> None:
    """Stop the process at a moment in which it has a job in hand and keeps the other from writing."""

    def caught() -> bool:
        assert replica.child is not None
        owner = f":{replica.child.process.pid}"
        replica.child.send(signal.SIGSTOP)
        writer = _writer(place.database)
        in_hand = any(job["state"] == "running" and job["leased_by"].endswith(owner) for job in place.books().jobs)
        if in_hand and writer and writer == _writer(place.database):
            return True
        replica.child.send(signal.SIGCONT)
        return False

    eventually(caught, "the replica writes")


def _writer(database: str) -> int | None:
    """The session that holds the lock of those who write, and is not about to let it go: its client says nothing."""

    async def ask() -> int | None:
        connection = await asyncpg.connect(database)
        try:
            found: int | None = await connection.fetchval(_HOLDS)
        finally:
            await connection.close()
        return found

    return asyncio.run(ask())


_HOLDS = """
select pid from pg_locks join pg_stat_activity using (pid)
where locktype = 'advisory' and granted and state = 'idle in transaction' and datname = current_database()
"""
