"""A database under lock: how many sessions of ours are on it while every run waits for the lock."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from bench.exporter.cpu import start_exporter
from deploywatch.demo import servers
from deploywatch.demo.processes import Processes

_OURS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL($1::int[])"


@dataclass(frozen=True, slots=True)
class Locked:
    """How often was looked, the most sessions of ours that were seen at once, and how many were left at the end."""

    looks: int
    most: int
    left: int


async def watch(processes: Processes, folder: Path, seconds: float) -> Locked:
    """Probe a table that is locked, every second with half a second's timeout, and count sessions."""
    await asyncio.to_thread(folder.chmod, 0o711)  # PostgreSQL has a user of its own
    database = await asyncio.to_thread(servers.postgres, processes, folder / "database")
    locker, looker = await asyncpg.connect(database.url), await asyncpg.connect(database.url)
    own = [await connection.fetchval("SELECT pg_backend_pid()") for connection in (locker, looker)]
    await locker.execute("CREATE TABLE orders (id int); BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    query = {"orders": {"sql": "SELECT count(*) FROM orders", "help": "Orders."}}
    probe = {"kind": "postgres", "dsn": database.url, "queries": query}
    config: dict[str, object] = {
        "layers": {"immediate": {"interval": "1s", "timeout": "500ms"}},
        "services": {"bench": {"probes": {"locked": probe}}},
    }
    exporter = await asyncio.to_thread(start_exporter, processes, folder, config, "lock")
    counts = [count async for count in _counts(looker, own, seconds)]
    await asyncio.to_thread(exporter.child.stop)
    # The last looks of a second: what is on its way out at the end does not count.
    left = max([count async for count in _counts(looker, own, 1.0)][-5:])
    for connection in (locker, looker):
        await connection.close()
    return Locked(len(counts), max(counts), left)


async def _counts(looker: Any, own: list[int], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield await looker.fetchval(_OURS, own)
        await asyncio.sleep(0.01)
