"""One target, one hand: the store decides, whichever replica asks, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploywatch.demo.servers import Running
from deploywatch.receiver.actions import target_lock
from deploywatch.receiver.jobs.worker import Worker
from deploywatch.receiver.store import Store
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.scene import NOON, alert


@pytest.fixture
async def replicas(postgres_server: Running) -> AsyncIterator[tuple[Store, Store]]:
    """Two replicas' stores on one new PostgreSQL database."""
    connection = await asyncpg.connect(postgres_server.url)
    await connection.execute("create database locks")
    await connection.close()
    url = f"{postgres_server.url.rpartition('/')[0]}/locks"
    one, two = Store(url), Store(url)
    await one.migrate()
    await two.open()
    yield one, two
    await one.close()
    await two.close()


async def test_of_many_replicas_that_ask_at_once_one_gets_the_target(replicas: tuple[Store, Store]) -> None:
    asking = [
        replicas[number % 2].write(
            lambda c, who=f"rollback {number}": target_lock.take(c, "shop", "production", who, NOON)  # type: ignore[misc]
        )
        for number in range(12)
    ]
    assert sorted(await asyncio.gather(*asking)) == [False] * 11 + [True]


async def test_two_workers_roll_back_once(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical(), alert("ServiceDown", action="rollback"), alert("HighLatency", action="rollback"))
    other = Worker(scene.context.store, scene.worker._handlers, owner="two", clock=scene.clock)
    await asyncio.gather(scene.drain(), other.drain())
    assert ground.ran == ["1.2.2 shop"]
    assert len(await scene.rollbacks()) == 1
