"""Migrations: SQLite's at start, PostgreSQL's by command; what was there before is counted, and nothing is guessed."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, insert, select, text

from deploywatch.demo.servers import Running
from deploywatch.receiver import store as store_room
from deploywatch.receiver.incidents import store as incident_store
from deploywatch.receiver.store import SchemaError, Store
from deploywatch.receiver.store.revisions import current
from deploywatch.receiver.store.schema import incidents, jobs
from deploywatch.receiver.stored_metrics import snapshot
from tests.receiver.scene import HOUR, MINUTE, NOON
from tests.support import forked

_NUMBERS = count(1)
FOLDER = Path(store_room.__file__).parent / "migrations"
HEAD = ScriptDirectory(str(FOLDER)).get_current_head()


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is no table yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: Running = request.getfixturevalue("postgres_server")
    return await _new(server)


async def _new(server: Running) -> str:
    connection, name = await asyncpg.connect(server.url), f"migrations_{next(_NUMBERS)}"
    try:
        await connection.execute(f"create database {name}")
    finally:
        await connection.close()
    return f"{server.url.rpartition('/')[0]}/{name}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """A store that is not open yet."""
    made = Store(url)
    yield made
    await made.close()


def upgrade(connection: Connection, revision: str) -> None:
    """Migrate to a revision of old."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _incident(number: int, service: str, **more: Any) -> dict[str, Any]:
    row = {"id": number, "service": service, "environment": "production", "severity": "high", "type": "errors"}
    return {**row, "title": "", "channels": [], "opened_at": NOON, **more}


async def test_what_was_stored_before_there_were_counters_is_counted(store: Store) -> None:
    over = {"acknowledged_at": NOON + 15 * MINUTE, "resolved_at": NOON + 25 * HOUR}
    rows = [_incident(1, "shop", **over), _incident(2, "shop", resolved_at=NOON + timedelta(seconds=0.5))]
    rows.append(_incident(3, "search", open_key="search\x1fproduction", severity="low"))

    def old(connection: Connection) -> None:
        upgrade(connection, "0003")
        for row in rows:
            connection.execute(insert(incidents).values(**row))

    await store.write(old)
    assert await store.migrate() == HEAD
    registry = CollectorRegistry()
    registry.register(await store.read(lambda c: snapshot(c, NOON)))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("deploywatch_incidents_total", service="shop", environment="production") == 2
    assert value("deploywatch_incidents_total", service="search", environment="production") == 1
    acknowledge, resolve = "deploywatch_incident_acknowledge_seconds", "deploywatch_incident_resolve_seconds"
    assert value(f"{acknowledge}_bucket", severity="high", le="300.0") == 0
    assert value(f"{acknowledge}_bucket", severity="high", le="900.0") == 1
    assert value(f"{resolve}_bucket", severity="high", le="60.0") == 1
    assert value(f"{resolve}_bucket", severity="high", le="86400.0") == 1
    assert value(f"{resolve}_count", severity="high") == 2
    assert value(f"{resolve}_sum", severity="high") == 25 * 3600 + 0.5


async def test_incidents_of_before_are_told_apart_as_they_were(store: Store) -> None:
    key = "search\x1fproduction"

    def old(connection: Connection) -> None:
        upgrade(connection, "0005")
        connection.execute(insert(incidents).values(**_incident(1, "search", open_key=key)))

    await store.write(old)
    await store.migrate()
    # A replica of the version before, which knows nothing of it, may still write.
    other = "shop\x1fproduction"
    await store.write(lambda c: c.execute(insert(incidents).values(**_incident(2, "shop", open_key=other))))
    answer = await store.read(lambda c: incident_store.open_by_key(c, [key, other]))
    assert [answer[one].correlation for one in (key, other)] == [{}, {}]


async def test_a_schema_of_old_is_migrated_at_start_on_sqlite_and_refused_on_postgresql(store: Store) -> None:
    await store.write(lambda c: upgrade(c, "0003"))
    if store.is_sqlite:
        await store.open()
        assert await store.read(current) == HEAD
        return
    with pytest.raises(SchemaError, match=f"is at revision 0003, and this version needs {HEAD}; run once: "):
        await store.open()
    assert await store.read(current) == "0003"
    await store.migrate()
    await store.migrate()
    await store.open()


async def test_each_migration_can_be_taken_back_and_done_again(store: Store) -> None:
    await store.migrate()
    row: dict[str, Any] = {
        "kind": "deliver",
        "key": "k",
        "serial_key": "s",
        "queue": "q",
        "payload": {},
        "state": "done",
    }
    row |= {"run_at": NOON, "attempts": 1, "note": "n", "created_at": NOON}

    def back_and_forth(connection: Connection) -> str | None:
        connection.execute(insert(jobs).values(**row, reason="not_wanted"))
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        command.downgrade(config, "0016")
        # What a replica of the version before writes has no reason: nobody knows it.
        connection.execute(text("UPDATE jobs SET note = 'written by the version before'"))
        upgrade(connection, "head")
        reason: str | None = connection.execute(select(jobs.c.reason)).scalar_one()
        return reason

    assert await store.write(back_and_forth) is None
    assert await store.read(current) == HEAD


async def test_a_schema_of_a_newer_version_is_refused_and_left_alone(store: Store) -> None:
    await store.migrate()
    await store.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    try:
        for attempt in (store.open, store.migrate):
            with pytest.raises(SchemaError, match="is at revision 9999, which this version does not know: a newer"):
                await attempt()
        assert await store.read(current) == "9999"
    finally:  # other tests use the database too
        await store.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD}))


async def test_a_receiver_says_what_to_run_and_the_command_does_it(postgres_server: Running, tmp_path: Path) -> None:
    url = await _new(postgres_server)
    (tmp_path / "receiver.yml").write_text(f"database: {url}\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.run(*arguments, "--config.file=receiver.yml", cwd=tmp_path)

    refused = run("receiver", "--web.listen-address=127.0.0.1:0")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        f"deploywatch: the database has no tables yet, and this version needs {HEAD}; "
        "run once: deploywatch store migrate --config.file FILE"
    )
    for _ in range(2):
        migrated = run("store", "migrate")
        assert (migrated.returncode, migrated.stdout) == (0, f"the store is at revision {HEAD}\n")
    opened = Store(url)
    await opened.open()
    assert (await opened.read(lambda c: c.execute(select(incidents)).all())) == []
    await opened.close()
