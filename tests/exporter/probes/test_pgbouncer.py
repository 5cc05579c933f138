"""The `postgres` probe through a real PgBouncer, which says everything in its own way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from deploywatch.demo.processes import Child, Processes, wait_until
from deploywatch.demo.servers import PASSWORD, Running
from deploywatch.exporter.results import Reason
from tests.exporter.support import probe

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed: apt-get install pgbouncer")


@pytest.fixture
def pooler(processes: Processes, workshop: Path, postgres_server: Running) -> Iterator[Callable[..., str]]:
    """Start a PgBouncer before the PostgreSQL, with more settings; gives its URL."""
    children: list[Child] = []

    def start(*settings: str, backend: int = postgres_server.port) -> str:
        port = processes.free_port()
        folder = workshop / f"pgbouncer-{port}"
        folder.mkdir()
        users = folder / "users.txt"
        users.write_text(f'"postgres" "{PASSWORD}"\n')
        config = folder / "pgbouncer.ini"
        lines = [
            "[databases]", f"postgres = host=127.0.0.1 port={backend}",
            "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =",
            "auth_type = scram-sha-256", f"auth_file = {users}", "pool_mode = transaction",
            "ignore_startup_parameters = extra_float_digits", *settings,
        ]  # fmt: skip
        config.write_text("\n".join(lines) + "\n")
        for path in (folder, users, config):
            shutil.chown(path, "postgres", "postgres")
        child = processes.start(f"pgbouncer-{port}", [str(PROGRAM), config], user="postgres", folder=folder)
        children.append(child)
        wait_until(lambda: b"process up" in child.log.read_bytes(), within=90, what="start PgBouncer", child=child)
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"

    yield start
    for child in children:
        # It would keep its sessions on the server, where other tests count theirs.
        child.stop()


async def test_queries_go_through_it_in_transaction_mode(pooler: Callable[..., str]) -> None:
    queries = {"classes": {"sql": "SELECT relkind, count(*) AS value FROM pg_class GROUP BY 1", "help": "C."}}
    dsn = pooler()
    for _ in range(3):
        result = await probe(kind="postgres", dsn=dsn, queries=queries)
        assert result.success, result.detail


async def test_a_wrong_password_is_denied_in_the_servers_own_words(pooler: Callable[..., str]) -> None:
    result = await probe(kind="postgres", dsn=pooler(), password="wr0ng")
    assert result.reason is Reason.AUTH
    assert "password authentication failed" in result.detail.lower() or "SASL" in result.detail


async def test_an_unknown_database_is_named(pooler: Callable[..., str]) -> None:
    result = await probe(kind="postgres", dsn=pooler().removesuffix("/postgres") + "/nowhere")
    assert result.reason is Reason.QUERY
    assert "nowhere" in result.detail


async def test_a_backend_that_is_down_makes_it_unavailable(pooler: Callable[..., str], processes: Processes) -> None:
    dsn = pooler("server_login_retry = 1", "query_wait_timeout = 1", backend=processes.free_port())
    result = await probe(10, kind="postgres", dsn=dsn)
    assert result.reason is Reason.UNAVAILABLE
    assert "takes no connection now: " in result.detail


async def test_no_room_for_clients_makes_it_unavailable(pooler: Callable[..., str]) -> None:
    dsn = pooler("max_client_conn = 1")
    first = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        result = await probe(kind="postgres", dsn=dsn)
    finally:
        await first.close()
    assert result.reason is Reason.UNAVAILABLE
    assert "no more connections allowed" in result.detail
