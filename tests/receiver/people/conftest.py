"""What is tested of people here is tested on both stores."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from deploywatch.demo.servers import Running
from receiver.store import Store

_NUMBERS = count(1)
_TEMPLATE = "people_template"


async def _copy(server: Running) -> str:
    """The URL of a database of its own, copied from one that was migrated once."""
    connection = await asyncpg.connect(server.url)
    base, name = server.url.rpartition("/")[0], f"people_{next(_NUMBERS)}"
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", _TEMPLATE):
            await connection.execute(f"create database {_TEMPLATE}")
            store = Store(f"{base}/{_TEMPLATE}")
            await store.open()
            await store.close()
        await connection.execute(f"create database {name} template {_TEMPLATE}")
    finally:
        await connection.close()
    return f"{base}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def store_url(request: pytest.FixtureRequest, empty_store: Path, tmp_path: Path) -> str:
    """Where the test's store is: a file, or a database on a real PostgreSQL."""
    if request.param == "postgresql":
        return await _copy(request.getfixturevalue("postgres_server"))
    shutil.copy(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path}/store.db"
