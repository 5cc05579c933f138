"""PostgreSQL is killed at seeded moments of a migration: it is never half done, and never said done when it was not."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from tests.receiver.database_migration.conftest import Migrate, made, plan_text, until

# A deferred trigger makes COMMIT itself last, so that some of the moments lie within it.
SLOW_COMMIT = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON people DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION slow();
"""
STEPS = [
    {"sql": "ALTER TABLE people ADD COLUMN age int; SELECT pg_sleep(0.2)"},
    {"sql": "INSERT INTO people VALUES (201, 'n'); SELECT pg_sleep(0.2)"},
    {"sql": "CREATE TABLE pets (id int); SELECT pg_sleep(0.2)"},
]
DONE = (
    "SELECT (SELECT count(*) FROM people WHERE id = 201) + (SELECT count(*) FROM information_schema.columns"
    " WHERE table_name = 'people' AND column_name = 'age') + (to_regclass('pets') IS NOT NULL)::int"
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("moments", [5, pytest.param(20, marks=pytest.mark.heavy)])
async def test_a_killed_server_leaves_all_or_nothing_and_the_outcome_is_true(
    processes: Processes, workshop: Path, migrate: Migrate, moments: int
) -> None:
    folder, seed = workshop / f"killed-{moments}", random.Random(18)  # noqa: S311 - moments, not secrets
    server = servers.postgres(processes, folder)
    seen: set[str] = set()
    for moment in range(moments):
        database = await made(server.url)
        await database.execute(SLOW_COMMIT)
        validate = [{"name": "one more", "sql": "SELECT count(*) FROM people", "expect": "= 201"}]
        running = asyncio.create_task(migrate(plan_text(database, transaction=STEPS, validate=validate)))
        await until(database, "application_name = 'deploywatch migrate'")
        await asyncio.sleep(seed.uniform(0, 1.5))
        server.child.send(signal.SIGKILL)
        await asyncio.to_thread(server.child.process.wait)
        server = await asyncio.to_thread(servers.postgres, processes, folder, port=server.port)
        ran = await running
        assert ran.out, ran.err
        done = await database.fetch(DONE)
        assert done in {0, 3}, f"moment {moment}: half done ({done} of 3); {ran}"
        expected = {"committed": 3, "rolled_back": 0, "not_begun": 0}
        assert ran.outcome in expected, f"moment {moment}: the server is back, so that the outcome can be known; {ran}"
        assert done == expected[ran.outcome], f"moment {moment}: said {ran.outcome}; {ran}"
        assert ran.code == (0 if done else 1)
        seen.add(ran.outcome)
    assert "rolled_back" in seen


@pytest.mark.timeout(900)
async def test_a_server_that_stays_away_after_the_commit_is_an_outcome_unknown(
    processes: Processes, workshop: Path, migrate: Migrate
) -> None:
    server = servers.postgres(processes, workshop / "away")
    database = await made(server.url)
    await database.execute(SLOW_COMMIT.replace("0.4", "600"))
    validate = [{"name": "one more", "sql": "SELECT count(*) FROM people", "expect": "= 201"}]
    parts = {"transaction": [{"sql": "INSERT INTO people VALUES (201, 'n')"}], "validate": validate}
    running = asyncio.create_task(migrate(plan_text(database, **parts, statement_timeout="1h", resolve_for="2s")))
    await until(database, "query = 'COMMIT' AND state = 'active'")
    server.child.send(signal.SIGKILL)
    ran = await running
    assert (ran.code, ran.outcome) == (4, "unknown"), ran.err
    assert "pg_xact_status" in ran.out
