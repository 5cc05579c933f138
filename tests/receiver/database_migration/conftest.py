"""A database of its own on a real PostgreSQL, and `deploywatch migrate` run as a user runs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from deploywatch.demo.servers import Running
from tests.support import forked

PEOPLE = """
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people SELECT i, 'n' FROM generate_series(1, 200) i
"""


@dataclass(frozen=True)
class Database:
    """One database, reached by a superuser."""

    url: str

    async def fetch(self, sql: str) -> Any:
        """The first value of a query's answer."""
        session = await asyncpg.connect(self.url)
        try:
            return await session.fetchval(sql)
        finally:
            await session.close()

    async def execute(self, sql: str) -> None:
        """Run SQL."""
        await self.fetch("SELECT 1")
        session = await asyncpg.connect(self.url)
        try:
            await session.execute(sql)
        finally:
            await session.close()


@dataclass(frozen=True)
class Ran:
    """How the command ended."""

    code: int
    out: str
    err: str

    @property
    def outcome(self) -> str:
        """The outcome that its JSON gives."""
        return str(json.loads(self.out)["outcome"])


async def until(database: Database, activity: str) -> None:
    """Wait until the server does something in this database, as pg_stat_activity shows it."""
    looked = f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {activity}"  # noqa: S608 - the tests' own
    async with asyncio.timeout(60):
        while not await database.fetch(looked):  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)


async def made(server: str) -> Database:
    """A new database with some rows on a server."""
    name = f"m{uuid4().hex[:12]}"
    session = await asyncpg.connect(server)
    await session.execute(f"CREATE DATABASE {name}")
    await session.close()
    database = Database(f"{server.rpartition('/')[0]}/{name}")
    await database.execute(PEOPLE)
    return database


@pytest.fixture
async def database(postgres_server: Running) -> Database:
    """A database of the server that tests share."""
    return await made(postgres_server.url)


Migrate = Callable[..., Coroutine[None, None, Ran]]


def plan_text(database: Database, **parts: Any) -> str:
    """A plan as JSON, which is YAML."""
    return json.dumps(
        {
            "name": "rename people",
            "service": "shop",
            "environment": "test",
            "database": {"dsn": database.url},
            "backup": {"none": "a test"},
            "transaction": [{"sql": "ALTER TABLE people ADD COLUMN age int"}],
            "validate": [{"name": "nobody is lost", "sql": "SELECT count(*) FROM people", "expect": "= 200"}],
            **parts,
        },
        indent=1,
    )


@pytest.fixture
def migrate(tmp_path: Path) -> Migrate:
    """Runs the command on a plan's text."""

    async def ran(text: str, *arguments: str, form: str = "json") -> Ran:
        path = tmp_path / "plan.yml"
        path.write_text(text)
        done = await asyncio.to_thread(forked.run, "migrate", path, "--format", form, *arguments)
        return Ran(done.returncode, done.stdout, done.stderr)

    return ran
