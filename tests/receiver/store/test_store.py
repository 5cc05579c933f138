"""The store: its schema, its promises about the disk, and the same on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from msgspec import structs
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from deploywatch.demo.servers import Running
from deploywatch.receiver.commands.deployments.spool import Spool
from deploywatch.receiver.incidents import store as incident_store
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.jobs.claim import claim, finish_all
from deploywatch.receiver.jobs.job import NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import done
from deploywatch.receiver.lifecycle import resolution
from deploywatch.receiver.store import Store, StoreError, UnfitError, insert_new, upsert
from deploywatch.receiver.store.columns import metadata
from deploywatch.receiver.store.engine import locking
from deploywatch.receiver.store.schema import quarantine, threads
from tests.receiver.scene import HOUR, NOON, alert, ended, settings


def _row(reason: str = "", **changes: Any) -> dict[str, Any]:
    return {"received_at": NOON, "reason": reason, "remote": "", "body": b"\x00\xff", **changes}


async def _keep(store: Store, *reasons: str) -> None:
    await store.write(lambda c: c.execute(insert(quarantine), [_row(reason) for reason in reasons]))


async def _kept(store: Store) -> list[str]:
    return list(await store.read(lambda c: c.execute(select(quarantine.c.reason)).scalars().all()))


async def _new_database(request: pytest.FixtureRequest) -> str:
    """The URL of a database of the test's own on a real PostgreSQL."""
    server: Running = request.getfixturevalue("postgres_server")
    name = f"store_{abs(hash(request.node.nodeid))}"
    connection = await asyncpg.connect(server.url)
    await connection.execute(f"create database {name}")
    await connection.close()
    return f"{server.url.rpartition('/')[0]}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open store of either kind, new and migrated."""
    url = f"sqlite:///{tmp_path}/new.db" if request.param == "sqlite" else await _new_database(request)
    store = Store(url)
    await store.migrate()
    yield store
    await store.close()


async def test_migrations_give_exactly_the_schema(either: Store) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await either.read(differences) == []


async def test_what_was_written_is_read_as_it_was(either: Store) -> None:
    await _keep(either, "ünïcödé 🔥")
    (row,) = await either.read(lambda c: c.execute(select(quarantine)).mappings().all())
    assert (row["reason"], row["body"], row["received_at"]) == ("ünïcödé 🔥", b"\x00\xff", NOON)


async def test_times_come_back_in_utc(either: Store) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9))).replace(microsecond=123456)
    await either.write(lambda c: c.execute(insert(quarantine), [_row(received_at=elsewhere)]))
    answer = await either.read(lambda c: c.execute(select(quarantine.c.received_at)).scalar_one())
    assert answer == elsewhere
    assert answer.utcoffset() == timedelta()


async def test_work_that_fails_leaves_nothing_behind(either: Store) -> None:
    def broken(connection: Connection) -> None:
        connection.execute(insert(quarantine), [_row()])
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await either.write(broken)
    assert await _kept(either) == []


def _fails_without_a_word(connection: Connection) -> str:
    """The database refuses a statement, and whoever sent it goes on as if nothing had been."""
    connection.execute(insert(quarantine), [_row("believed stored")])
    ended_by_itself = connection.dialect.name == "sqlite"  # as on a full disk
    with contextlib.suppress(DBAPIError):
        connection.exec_driver_sql("ROLLBACK" if ended_by_itself else "select 1 / 0")
    return "stored"


async def test_a_commit_that_was_really_a_rollback_is_an_error(either: Store) -> None:
    with pytest.raises(StoreError, match=r"nothing of (the transaction|it) is stored"):
        await either.write(_fails_without_a_word)
    await _keep(either, "still works")
    assert await _kept(either) == ["still works"]


async def test_neither_is_one_among_others_believed_stored(either: Store) -> None:
    found = await asyncio.gather(
        either.write(partial(_keep_one, reason="a")),
        either.write(_fails_without_a_word),
        either.write(partial(_keep_one, reason="b")),
        return_exceptions=True,
    )
    assert isinstance(found[1], StoreError)
    assert await _kept(either) == [one for one in found if one in ("a", "b")]


def _keep_one(connection: Connection, reason: str) -> str:
    connection.execute(insert(quarantine), [_row(reason)])
    return reason


async def test_a_value_that_can_never_be_stored_is_told_apart_from_trouble(either: Store) -> None:
    before_time = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    with pytest.raises(UnfitError):
        await either.write(lambda c: c.execute(insert(quarantine), [_row(received_at=before_time)]))
    await _keep(either, "still works")
    assert await _kept(either) == ["still works"]


async def test_new_rows_are_added_and_those_that_are_there_stay(either: Store) -> None:
    def work(connection: Connection) -> list[str]:
        ingest(connection, settings(), [Delivery(NOON, b"", (alert(),))], NOON)
        row = {"incident_id": 1, "channel": "team", "reference": "first"}
        insert_new(connection, threads, [row])
        insert_new(connection, threads, [{**row, "reference": "second"}])
        insert_new(connection, threads, [])
        return list(connection.execute(select(threads.c.reference)).scalars())

    assert await either.write(work) == ["first"]


async def test_an_upsert_overwrites_what_has_the_same_key(either: Store) -> None:
    def work(connection: Connection) -> list[str]:
        ingest(connection, settings(), [Delivery(NOON, b"", (alert(),))], NOON)
        row = {"incident_id": 1, "channel": "team", "reference": "first"}
        upsert(connection, threads, [row])
        upsert(connection, threads, [{**row, "reference": "second"}])
        upsert(connection, threads, [])
        return list(connection.execute(select(threads.c.reference)).scalars())

    assert await either.write(work) == ["second"]


async def test_an_incident_lives_on_either_store(either: Store) -> None:
    long = "s" * 5000
    fired = alert(service=long, severity="critical", annotations={"summary": "x" * 5000})
    for one in (fired, fired, ended(fired), alert(service=long, severity="critical", starts=HOUR)):
        delivery = Delivery(NOON, b"{}", (structs.replace(one, fingerprint="f" * 16),))
        await either.write(partial(ingest, settings=settings(), batch=[delivery], now=NOON))
    (incident,) = await either.read(lambda c: incident_store.recent(c, only_open=True, limit=9))
    assert (incident.severity, incident.service, incident.quiet_since) == ("critical", "s" * 200, None)


async def test_the_database_itself_refuses_a_second_open_incident(either: Store) -> None:
    await either.write(partial(ingest, settings=settings(), batch=[Delivery(NOON, b"{}", (alert(),))], now=NOON))
    (open_one,) = await either.read(lambda c: incident_store.recent(c, only_open=True, limit=9))
    with pytest.raises(StoreError, match=r"(UNIQUE|unique) constraint"):
        await either.write(lambda c: incident_store.add(c, replace(open_one, id=0)))
    assert len(await either.read(lambda c: incident_store.recent(c, only_open=True, limit=9))) == 1


async def test_a_job_is_claimed_and_finished_on_either_store(either: Store) -> None:
    await either.write(lambda c: enqueue(c, NOON, NewJob("note", "key", "lane", NOON, payload={"n": [1, "a"]})))
    (job,) = await either.write(lambda c: claim(c, NOON, "me", 9))
    assert (job.payload, job.attempts) == ({"n": [1, "a"]}, 1)
    assert await either.write(lambda c: finish_all(c, NOON, "me", [(job, done())])) == {job.id}
    assert await either.write(lambda c: claim(c, NOON, "me", 9)) == []


async def test_claims_at_the_same_time_never_share_a_job(either: Store) -> None:
    new = [NewJob("note", str(number), str(number), NOON) for number in range(40)]
    await either.write(lambda c: enqueue(c, NOON, *new))
    claims = await asyncio.gather(
        *(either.write(partial(claim, now=NOON, owner=owner, limit=10)) for owner in "abcdef")
    )
    found = [job.id for one in claims for job in one]
    assert len(found) == len(set(found))


async def test_a_nul_is_more_than_postgresql_can_store(request: pytest.FixtureRequest) -> None:
    store = Store(await _new_database(request))
    await store.migrate()
    try:
        with pytest.raises(UnfitError):
            await _keep(store, "a\0b")
        await _keep(store, "fine")
        assert await _kept(store) == ["fine"]
    finally:
        await store.close()


async def test_a_postgresql_that_is_not_there_is_trouble() -> None:
    store = Store("postgresql://u:secret@127.0.0.1:1/nowhere")
    with pytest.raises(StoreError) as refused:
        await store.open()
    assert "secret" not in str(refused.value)
    await store.close()


@pytest.mark.sqlite_only
async def test_sqlite_syncs_every_commit_to_the_disk(store: Store) -> None:
    def pragmas(connection: Connection) -> tuple[Any, ...]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names)

    assert await store.write(pragmas) == ("wal", 2, 1)


@pytest.mark.sqlite_only
async def test_a_store_in_use_refuses_a_second_process(store: Store, store_url: str) -> None:
    second = Store(store_url)
    with pytest.raises(StoreError, match=r"store\.db is in use by another receiver"):
        await second.open()
    await second.close()


async def test_a_closed_store_can_be_opened_again_with_what_it_had(tmp_path: Path) -> None:
    for _ in range(2):
        store = Store(f"sqlite:///{tmp_path}/deep/er/x.db")
        await store.open()
        await _keep(store, "again")
        await store.close()
    with sqlite3.connect(tmp_path / "deep" / "er" / "x.db") as connection:
        assert connection.execute("select count(*) from quarantine").fetchone() == (2,)
    connection.close()


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(f"sqlite:///{tmp_path}/file/x.db")
    with pytest.raises(StoreError, match=r"x\.db cannot be opened: "):
        await store.open()
    await store.close()


async def test_the_file_is_its_owner_s_alone_whatever_the_umask_and_the_mode_that_it_had(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch(0o644)
    store = Store(f"sqlite:///{tmp_path}/store.db")
    await store.open()
    try:
        modes = _modes(tmp_path)
    finally:
        await store.close()
    assert set(modes.values()) == {0o600}
    assert {"store.db", "store.db-wal", "store.db-shm"} <= set(modes)


def test_what_is_written_is_nobody_else_s_to_change_where_there_is_no_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        os.close(locking.hold(tmp_path / "data" / "store.db"))
        resolution.write_draft(tmp_path / "reviews" / "incident-1.md", "what happened")
        with Spool(tmp_path / "spool").locked():
            pass
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert (modes["data"], modes["store.db.lock"]) == (0o700, 0o600)
    assert (modes["reviews"], modes["incident-1.md"]) == (0o750, 0o640)
    assert (modes["spool"], modes["lock"]) == (0o700, 0o600)


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.glob("store.db*")}


async def test_whoever_looks_at_the_file_meanwhile_takes_nothing_away(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    look = [
        sys.executable,
        "-c",
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall())",
    ]

    async def seen() -> str:
        """What another process, such as sqlite3 or a backup, reads; then it closes the file."""
        run = await asyncio.create_subprocess_exec(
            *look, str(file), "select reason from quarantine", stdout=asyncio.subprocess.PIPE
        )
        said, _ = await run.communicate()
        return said.decode().strip()

    store = Store(f"sqlite:///{file}")
    await store.migrate()
    await _keep(store, "one")
    # Every reader that there may be is opened beside the writer.
    await asyncio.gather(*(_kept(store) for _ in range(8)))
    assert await seen() == "[('one',)]"
    await _keep(store, "two")
    assert await seen() == "[('one',), ('two',)]"
    await store.close()
