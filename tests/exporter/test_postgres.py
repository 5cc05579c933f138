"""The `postgres` probe against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import PASSWORD, Running
from exporter.results import Reason
from tests.exporter.support import Talk, eventually, measured, probe, silent


@pytest.fixture
async def database(postgres_server: Running) -> AsyncIterator[Any]:
    """A connection with which a test prepares the database; its schema `probed` is gone afterwards."""
    connection = await asyncpg.connect(postgres_server.url)
    await connection.execute("DROP SCHEMA IF EXISTS probed CASCADE; CREATE SCHEMA probed")
    await connection.execute("CREATE TABLE probed.tenants AS SELECT n, n % 2 = 0 AS even FROM generate_series(1, 5) n")
    yield connection
    connection.terminate()


def asking(sql: str, name: str = "tenants", **more: Any) -> dict[str, Any]:
    """The setting for one query."""
    return {name: {"sql": sql, "help": "Tenants.", **more}}


async def test_a_good_database_is_a_success_with_its_times(postgres_server: Running) -> None:
    result = await probe(kind="postgres", dsn=postgres_server.url)
    assert result.success, result.detail
    values = measured(result)
    assert 0 < values["probe_postgres_select_seconds"] < 5
    assert 0 < values["probe_postgres_connect_seconds"] < 5


async def test_a_count_becomes_a_gauge(postgres_server: Running, database: Any) -> None:
    result = await probe(
        kind="postgres", dsn=postgres_server.url, queries=asking("SELECT count(*) FROM probed.tenants")
    )
    assert result.success, result.detail
    assert measured(result)["tenants"] == 5
    assert measured(result)["probe_postgres_query_seconds{query=tenants}"] > 0


async def test_columns_beside_the_value_become_labels(postgres_server: Running, database: Any) -> None:
    sql = "SELECT even, sum(n) AS value, NULL AS note FROM probed.tenants GROUP BY even"
    values = measured(await probe(kind="postgres", dsn=postgres_server.url, queries=asking(sql)))
    assert values["tenants{even=true,note=}"] == 6
    assert values["tenants{even=false,note=}"] == 9


async def test_null_is_no_sample(postgres_server: Running) -> None:
    result = await probe(kind="postgres", dsn=postgres_server.url, queries=asking("SELECT max(1) WHERE false"))
    assert result.success, result.detail
    assert "tenants" not in measured(result)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT count(*) FROM no_such_table", Reason.QUERY),
        ("SELEC 1", Reason.QUERY),
        ("SELECT 1 AS a, 2 AS b", Reason.QUERY),
        ("SELECT 1 AS value, 'x' AS service", Reason.QUERY),
        ("SELECT 1 AS value, 'x' AS \"not a label\"", Reason.QUERY),
        ("CREATE TABLE harm (n int)", Reason.QUERY),
        ("SELECT 'many'", Reason.VALUE),
        ("SELECT n AS value, n FROM generate_series(1, 101) n", Reason.TOO_LARGE),
    ],
)
async def test_a_query_that_gives_no_gauge_says_why(postgres_server: Running, sql: str, reason: Reason) -> None:
    result = await probe(kind="postgres", dsn=postgres_server.url, queries=asking(sql))
    assert result.reason is reason, result.detail
    assert "query tenants" in result.detail
    assert measured(result)["probe_postgres_select_seconds"] > 0


async def test_a_wrong_password_is_the_reason_and_is_not_shown(postgres_server: Running) -> None:
    result = await probe(kind="postgres", dsn=postgres_server.url, password="wr0ng")
    assert result.reason is Reason.AUTH
    assert "wr0ng" not in result.detail


async def test_the_password_may_come_from_a_file(postgres_server: Running, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    dsn = postgres_server.url.replace(f":{PASSWORD}", "")
    assert (await probe(kind="postgres", dsn=dsn, password_file=str(file))).success


async def test_a_database_that_is_not_there_is_the_reason(postgres_server: Running) -> None:
    dsn = postgres_server.url.removesuffix("/postgres") + "/nowhere"
    assert (await probe(kind="postgres", dsn=dsn)).reason is Reason.QUERY


async def test_a_server_that_is_down_is_the_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dsn = f"postgresql://postgres@127.0.0.1:{unused.getsockname()[1]}/postgres"
        assert (await probe(kind="postgres", dsn=dsn)).reason is Reason.CONNECT_REFUSED


async def test_a_locked_table_ends_by_the_servers_own_timeout(postgres_server: Running, database: Any) -> None:
    async with database.transaction():
        await database.execute("LOCK TABLE probed.tenants IN ACCESS EXCLUSIVE MODE")
        result = await probe(
            1.0, kind="postgres", dsn=postgres_server.url, queries=asking("SELECT count(*) FROM probed.tenants")
        )
        assert (result.reason, result.detail) == (
            Reason.QUERY_TIMEOUT,
            "cancelled by statement_timeout at: query tenants",
        )
        assert result.duration < 1
    await eventually(lambda: _alone(database))


async def test_a_database_under_lock_never_holds_two_of_our_sessions(postgres_server: Running, database: Any) -> None:
    most = 0
    # Inside the transaction that holds the lock, the statistics would stand still.
    watcher = await asyncpg.connect(postgres_server.url)
    async with database.transaction():
        await database.execute("LOCK TABLE probed.tenants IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            running = asyncio.create_task(
                probe(0.4, kind="postgres", dsn=postgres_server.url, queries=asking("TABLE probed.tenants"))
            )
            while not running.done():
                most = max(most, await _sessions(watcher) - 1)
                await asyncio.sleep(0.02)
    watcher.terminate()
    assert most == 1


async def test_a_server_that_stands_still_is_cut_at_the_deadline(processes: Processes, workshop: Path) -> None:
    server = servers.postgres(processes, workshop / "still")
    server.child.send(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        result = await probe(0.3, kind="postgres", dsn=server.url)
        assert result.reason is Reason.CONNECT_TIMEOUT
        assert time.monotonic() - begin < 2
    finally:
        server.child.send(signal.SIGCONT)

    async def answers() -> bool:
        return (await probe(kind="postgres", dsn=server.url)).success

    await eventually(answers)
    server.child.stop()


async def test_a_connection_that_is_given_up_is_closed(tcp: Callable[[Talk], Awaitable[int]]) -> None:
    closed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent(reader, writer)
        closed.set()

    result = await probe(0.2, kind="postgres", dsn=f"postgresql://ann:x@127.0.0.1:{await tcp(talk)}/shop")
    assert result.reason is Reason.CONNECT_TIMEOUT
    await asyncio.wait_for(closed.wait(), 5)


async def _alone(database: Any) -> bool:
    return await _sessions(database) == 0


async def _sessions(database: Any) -> int:
    count: int = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return count
