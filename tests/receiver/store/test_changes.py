"""How often what pages show has changed is known to each replica, and not before it can be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection, insert, select, update

from deploywatch.demo.servers import Running
from deploywatch.receiver.store import Store, StoreError
from deploywatch.receiver.store.columns import metadata
from deploywatch.receiver.store.engine.unit_of_work import UNSEEN, changes_pages
from deploywatch.receiver.store.schema import incidents, jobs
from tests.receiver.scene import NOON

ROW = {"service": "shop", "environment": "production", "severity": "high", "type": "x", "title": "", "channels": []}
JOB = {"kind": "x", "serial_key": "x", "queue": "x", "payload": {}, "state": "ready", "run_at": NOON, "attempts": 0}


@pytest.fixture(params=["sqlite", "postgresql"])
async def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Two replicas on one store, which are one on SQLite: its file belongs to one process."""
    stores = [Store(f"sqlite:///{tmp_path}/new.db")]
    if request.param == "postgresql":
        server: Running = request.getfixturevalue("postgres_server")
        name = f"changes_{abs(hash(request.node.nodeid))}"
        connection = await asyncpg.connect(server.url)
        await connection.execute(f"create database {name}")
        await connection.close()
        stores = [Store(f"{server.url.rpartition('/')[0]}/{name}") for _ in range(2)]
    await stores[0].migrate()
    for store in stores:
        await store.open()
    yield stores[0], stores[-1]
    for store in stores:
        await store.close()


async def test_a_change_that_pages_show_is_seen_by_each_replica_and_one_of_the_queue_is_not(
    replicas: tuple[Store, Store],
) -> None:
    store, other = replicas
    before = await other.changes()
    await store.write(lambda c: c.execute(insert(incidents).values(**ROW, opened_at=NOON)))
    assert await other.changes() != before
    before = await other.changes()
    await store.write(lambda c: c.execute(insert(jobs).values(**JOB, key="x", note="", created_at=NOON)))
    await store.read(lambda c: c.execute(select(incidents)).all())
    assert await other.changes() == before
    await store.write(lambda c: c.execute(update(incidents).values(severity="low")))
    assert await other.changes() != before


async def test_what_was_rolled_back_does_not_count_for_what_comes_after(replicas: tuple[Store, Store]) -> None:
    store, _ = replicas
    before = await store.changes()

    def fail(connection: Connection) -> None:
        connection.execute(insert(incidents).values(**ROW, opened_at=NOON))
        raise StoreError("no")

    with pytest.raises(StoreError):
        await store.write(fail)
    await store.write(lambda c: c.execute(update(jobs).values(note="x")))
    assert await store.changes() == before


def test_each_table_is_either_shown_or_said_not_to_be() -> None:
    known = set(metadata.tables) | {"alembic_version"}
    assert known >= UNSEEN
    assert changes_pages("WITH part1 AS (INSERT INTO jobs (a) VALUES (1)) INSERT INTO timeline (b) VALUES (2)")
    assert not changes_pages("INSERT INTO jobs (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2")
    assert not changes_pages("SELECT 1 FROM incidents")
    assert changes_pages('DELETE FROM "incidents" WHERE id = 1')
    assert changes_pages("UPDATE deployments SET status = 'failed'")
