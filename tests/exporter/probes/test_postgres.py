"""The `postgres` probe against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import ValidationError

from deploywatch.clock import SystemClock
from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import PASSWORD, Running
from deploywatch.exporter.net.databases.session import SILENT
from deploywatch.exporter.net.dial import Route
from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.probes.postgres import PostgresProbe, PostgresSettings
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.results import Failed, Reason
from tests.exporter.support import Talk, cut, eventually, measured, probe, silent


@pytest.fixture
async def database(postgres_server: Running) -> AsyncIterator[Any]:
    """A connection with which a test prepares the database; its schema `probed` is gone afterwards."""
    connection = await asyncpg.connect(postgres_server.url)
    await eventually(lambda: _alone(connection))
    await connection.execute("DROP SCHEMA IF EXISTS probed CASCADE; CREATE SCHEMA probed")
    await connection.execute("CREATE TABLE probed.tenants AS SELECT n, n % 2 = 0 AS even FROM generate_series(1, 5) n")
    yield connection
    connection.terminate()


def asking(sql: str, name: str = "tenants", **more: Any) -> dict[str, Any]:
    """The setting for one query."""
    return {name: {"sql": sql, "help": "Tenants.", **more}}


def probing(**settings: Any) -> PostgresProbe:
    """One probe, to be run several times."""
    return PostgresSettings.model_validate({"kind": "postgres", **settings}).probe()


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


async def test_each_of_several_values_becomes_a_gauge(postgres_server: Running, database: Any) -> None:
    sql = "SELECT even, count(*) AS number, max(n) AS highest, NULL AS lost FROM probed.tenants GROUP BY even"
    queries = asking(sql, values=["number", "highest", "lost"])
    result = await probe(kind="postgres", dsn=postgres_server.url, queries=queries)
    assert result.success, result.detail
    values = {name: value for name, value in measured(result).items() if name.startswith("tenants")}
    assert values == {
        "tenants_number{even=true}": 2,
        "tenants_highest{even=true}": 4,
        "tenants_number{even=false}": 3,
        "tenants_highest{even=false}": 5,
    }


async def test_a_value_that_the_query_does_not_give_is_the_reason(postgres_server: Running) -> None:
    queries = asking("SELECT 1 AS number", values=["number", "highest"])
    result = await probe(kind="postgres", dsn=postgres_server.url, queries=queries)
    assert (result.reason, result.detail) == (
        Reason.QUERY,
        "query tenants gives no column highest; name one so with AS",
    )


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
    target = probing(dsn=postgres_server.url, queries=asking("TABLE probed.tenants"))
    async with database.transaction():
        await database.execute("LOCK TABLE probed.tenants IN ACCESS EXCLUSIVE MODE")
        for _ in range(20):
            running = asyncio.create_task(run(target, limit=0.1, clock=SystemClock()))
            while not running.done():
                most = max(most, await _sessions(watcher))
                await asyncio.sleep(0.01)
            assert not running.result().success
    assert most == 1
    await eventually(lambda: _alone(database))
    watcher.terminate()


async def test_a_backend_stuck_while_connecting_is_waited_for_and_no_second_one_started(
    postgres_server: Running, database: Any
) -> None:
    target = probing(dsn=postgres_server.url)
    most = 0
    async with database.transaction():
        # Who logs in looks there.
        await database.execute("LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE")
        before = _backends(postgres_server)
        for _ in range(10):
            result = await run(target, limit=0.1, clock=SystemClock())
            assert (result.reason, SILENT in result.detail) == (Reason.DEADLINE, True), result.detail
            most = max(most, len(_backends(postgres_server) - before))
    assert most == 1
    result = await run(target, limit=60, clock=SystemClock())
    assert result.success, result.detail
    await eventually(lambda: _alone(database))


async def test_a_backend_that_stands_still_is_waited_for_and_no_second_one_started(
    postgres_server: Running, database: Any
) -> None:
    target = probing(dsn=postgres_server.url, queries=asking("SELECT pg_sleep(1), 1 AS value"))
    first = asyncio.create_task(run(target, limit=2, clock=SystemClock()))
    await eventually(lambda: _found(database))
    stuck = await database.fetchval("SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' LIMIT 1")
    os.kill(stuck, signal.SIGSTOP)
    try:
        assert (await first).reason is Reason.DEADLINE
        before = _backends(postgres_server)
        for _ in range(5):
            result = await run(target, limit=0.1, clock=SystemClock())
            assert (result.reason, result.detail) == (
                Reason.DEADLINE,
                "not done within 0.1 s; it was at: wait for the session before to end",
            )
        assert _backends(postgres_server) == before
    finally:
        os.kill(stuck, signal.SIGCONT)
    await eventually(lambda: _alone(database))


class Interrupted(PostgresProbe):
    """A probe that is cut off in the middle of a statement."""

    async def _ask(self, connection: Any, measurement: Measurement) -> None:
        await connection.execute("BEGIN; SET LOCAL statement_timeout = '5s'")
        await connection.prepare("SELECT 1")
        raise Failed(Reason.DEADLINE, "cut off")


async def test_a_session_is_left_only_when_its_transaction_has_ended(
    postgres_server: Running, tcp: Callable[[Talk], Awaitable[int]]
) -> None:
    # PostgreSQL forgets a goodbye during which a timeout of the transaction strikes.
    said: list[bytes] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: list[bytes]) -> None:
        while data := await reader.read(65536):
            said.append(data)
            writer.write(data)
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_connection("127.0.0.1", postgres_server.port)
        try:
            await asyncio.gather(pass_on(reader, server[1], said), pass_on(server[0], writer, said))
        finally:
            server[1].transport.abort()

    dsn = postgres_server.url.replace(str(postgres_server.port), str(await tcp(talk)))
    settings = PostgresSettings.model_validate({"kind": "postgres", "dsn": dsn})
    result = await run(Interrupted(settings), limit=60, clock=SystemClock())
    assert result.detail == "cut off"
    goodbye = b"X\x00\x00\x00\x04"
    await eventually(lambda: goodbye in said)
    end = said.index(goodbye)
    assert b"ROLLBACK\x00" in said[end - 2]
    # The server has answered that it is in no transaction.
    assert said[end - 1].endswith(b"Z\x00\x00\x00\x05I")


class Abandoned(PostgresProbe):
    """A probe whose session the server ends between two statements."""

    async def _ask(self, connection: Any, measurement: Measurement) -> None:
        await connection.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 1")
        await asyncio.sleep(1)
        await super()._ask(connection, measurement)


async def test_a_session_that_the_server_ends_between_two_statements_is_the_reason(postgres_server: Running) -> None:
    settings = PostgresSettings.model_validate({"kind": "postgres", "dsn": postgres_server.url})
    result = await run(Abandoned(settings), limit=60, clock=SystemClock())
    assert result.reason is Reason.RESET, result.detail


async def test_two_who_ask_the_same_share_one_session(postgres_server: Running, database: Any) -> None:
    asked = {"dsn": postgres_server.url, "queries": asking("SELECT pg_sleep(0.2) IS NULL AS value")}
    both = [asyncio.create_task(run(probing(**asked), limit=60, clock=SystemClock())) for _ in range(2)]
    most = 0
    while not all(task.done() for task in both):
        most = max(most, await _sessions(database))
        await asyncio.sleep(0.005)
    assert [task.result().detail for task in both] == ["", ""]
    assert most == 1


async def test_a_server_that_stands_still_is_cut_at_the_deadline(processes: Processes, workshop: Path) -> None:
    server = servers.postgres(processes, workshop / "still")
    server.child.send(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        result, _ = await cut(SILENT, kind="postgres", dsn=server.url)
        assert (result.reason, SILENT in result.detail) == (Reason.DEADLINE, True)
        assert time.monotonic() - begin < 60
    finally:
        server.child.send(signal.SIGCONT)

    async def answers() -> bool:
        return (await probe(kind="postgres", dsn=server.url)).success

    await eventually(answers)
    server.child.stop()


async def test_a_server_that_never_answers_is_given_one_connection(tcp: Callable[[Talk], Awaitable[int]]) -> None:
    callers: list[object] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        await silent(reader, writer)

    target = probing(dsn=f"postgresql://ann:x@127.0.0.1:{await tcp(talk)}/shop")
    for _ in range(3):
        result = await run(target, limit=0.3, clock=SystemClock())
        assert result.reason in {Reason.DEADLINE, Reason.CONNECT_TIMEOUT}, result.detail
    await eventually(lambda: bool(callers))
    assert len(callers) == 1


async def test_a_look_up_that_is_given_up_is_not_waited_for_by_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def addresses(*_: object) -> list[Address]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(Route, "addresses", addresses)
    target = probing(dsn="postgresql://ann:x@shop.example/shop")
    for _ in range(3):
        result = await run(target, limit=0.02, clock=SystemClock())
        assert result.reason is Reason.CONNECT_TIMEOUT, result.detail
    assert asked == 3


async def test_when_a_server_hangs_up_on_what_was_waited_for_the_next_run_connects_anew(
    tcp: Callable[[Talk], Awaitable[int]],
) -> None:
    callers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        await silent(reader, writer)

    target = probing(dsn=f"postgresql://ann:x@127.0.0.1:{await tcp(talk)}/shop")

    async def called(times: int) -> bool:
        await run(target, limit=0.05, clock=SystemClock())
        return len(callers) == times

    await eventually(lambda: called(1))
    callers[0].transport.abort()
    await eventually(lambda: called(2))


async def _alone(database: Any) -> bool:
    return await _sessions(database) == 0


async def _sessions(database: Any) -> int:
    count: int = await database.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deploywatch'")
    return count


async def _found(database: Any) -> bool:
    count: int = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    )
    return count == 1


def _backends(server: Running) -> set[int]:
    """The processes of a server that serve a client, those that have not logged in yet too."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"\nPPid:\t{server.child.process.pid}\n" in (entry / "status").read_text():
                title = (entry / "cmdline").read_bytes()
                if b"127.0.0.1(" in title:
                    found.add(int(entry.name))
    return found


async def test_a_server_is_probed_over_the_ip_version_that_is_asked_for(postgres_server: Running) -> None:
    settings: dict[str, Any] = {"kind": "postgres", "dsn": postgres_server.url, "ip_protocol_fallback": False}
    good = await probe(preferred_ip_protocol="ip4", **settings)
    assert good.success, good.detail
    other = await probe(preferred_ip_protocol="ip6", **settings)
    assert (other.reason, other.detail) == (Reason.DNS, "127.0.0.1 has no IPv6 address")
    with pytest.raises(ValidationError, match="preferred_ip_protocol is given for a unix socket"):
        await probe(kind="postgres", dsn="postgresql:///shop?host=/run/postgresql", preferred_ip_protocol="ip6")
