"""The bound for each server address, with a real PostgreSQL that counts its sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncpg
from pydantic import TypeAdapter

from deploywatch.clock import SystemClock
from deploywatch.demo.servers import Running
from deploywatch.exporter import config
from deploywatch.exporter.check import all_targets, check
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.probes import AnyProbe
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.target_run import one_spelling
from tests.exporter.support import eventually

SETTINGS: TypeAdapter[ProbeSettings] = TypeAdapter(AnyProbe)
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deploywatch'"


def probes(server: Running, number: int, sql: str) -> str:
    """A config of so many probes, none like another: equal ones share one session anyway."""

    def probe(n: int) -> str:
        queries = f"queries: {{rows_{n}: {{sql: '{sql}', help: R.}}}}"
        return f'p{n}: {{kind: postgres, dsn: "{server.url}", {queries}, layer: often}}'

    each = ", ".join(probe(n) for n in range(number))
    return f"layers: {{often: {{interval: 60s, timeout: 60s}}}}\nservices: {{shop: {{probes: {{{each}}}}}}}\n"


async def test_a_database_sees_no_more_sessions_at_once_than_its_bound(
    postgres_server: Running, write: Callable[[str], Path]
) -> None:
    slow = "SELECT 1 AS value FROM pg_sleep(0.02)"
    path = write(f"per_server: {{databases: 5}}\n{probes(postgres_server, 54, slow)}")
    exporter = Exporter(path, config.load(path))
    database = await asyncpg.connect(postgres_server.url)
    most = 0

    async def all_have_run() -> bool:
        nonlocal most
        most = max(most, await database.fetchval(SESSIONS))
        return not any(exporter.board.waiting())

    exporter.start()
    try:
        await eventually(all_have_run)
    finally:
        await exporter.stop()
        await database.close()
    assert all(record.last and record.last.success for record in exporter.board.records.values())
    assert 1 < most <= 5


def test_a_server_is_one_however_it_is_written() -> None:
    for server in ("db.example:5432", "DB.example:5432", "db.example.:5432"):
        assert one_spelling(server) == "db.example:5432"
    for server in ("::1:5432", "[::1]:5432", "0:0:0:0:0:0:0:1:5432", "[0:0::1]:5432"):
        assert one_spelling(server) == "::1:5432"
    assert one_spelling("unix:/run/Redis.sock") == "unix:/run/Redis.sock"
    assert one_spelling("/run/PG:5432") == "/run/PG:5432"


def test_a_database_behind_a_socket_has_its_bound_too() -> None:
    for settings in (
        {"kind": "redis", "url": "unix:///run/r.sock?db=1"},
        {"kind": "redis", "url": "unix:///run/r.sock"},
    ):
        assert SETTINGS.validate_python(settings).server() == "unix:/run/r.sock"


async def test_a_check_of_many_probes_of_one_database_fails_none(
    postgres_server: Running, write: Callable[[str], Path]
) -> None:
    settings = config.load(write(probes(postgres_server, 60, "SELECT 1")))
    checked = await check(all_targets(settings), settings, clock=SystemClock())
    assert checked.well
