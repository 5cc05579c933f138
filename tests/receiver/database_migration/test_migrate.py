"""`deploywatch migrate` against a real PostgreSQL: what stays is what it says."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import jsonschema
import pytest
from pydantic import ValidationError

from deploywatch.files.yaml_reader import read
from deploywatch.receiver.database_migration.backup import without_password
from deploywatch.receiver.database_migration.expectation import number, parse
from deploywatch.receiver.database_migration.plan import SCHEMA, schema
from deploywatch.receiver.database_migration.plan import Database as DatabaseSettings
from tests.receiver.database_migration.conftest import Database, Migrate, plan_text, until

AGE = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'people' AND column_name = 'age'"


async def test_a_migration_that_is_valid_is_committed(database: Database, migrate: Migrate) -> None:
    ran = await migrate(plan_text(database))
    assert (ran.code, ran.outcome) == (0, "committed"), ran.err
    assert await database.fetch(AGE) == 1


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"transaction": [{"sql": "DELETE FROM people WHERE id > 150"}]},
            "validation 'nobody is lost': 150 is not = 200",
        ),
        ({"transaction": [{"sql": "ALTER TABLE people ADD COLUMN age int;\nSELECT 1/0"}]}, "division by zero"),
        ({"validate": [{"name": "v", "sql": "SELECT NULL::int", "expect": "= 0"}]}, "which is no number"),
        ({"validate": [{"name": "v", "sql": "SELECT 1 WHERE false", "expect": "= 0"}]}, "gave 0 rows"),
        ({"validate": [{"name": "v", "sql": "SELECT 'NaN'::float8", "expect": "> 0"}]}, "no number to compare"),
        ({"validate": [{"name": "v", "sql": "SELECT nothing", "expect": "= 0"}]}, 'column "nothing" does not exist'),
        (
            {
                "transaction": [{"sql": "DELETE FROM people WHERE id <= 10"}],
                "validate": [{"name": "near", "sql": "SELECT count(*) FROM people", "expect": "within 1 % of before"}],
            },
            "190 is not within 1 % of 200",
        ),
        (
            {
                "transaction": [
                    {"sql": "ALTER TABLE people ADD COLUMN age int"},
                    {"sql": "ALTER TABLE people ADD CONSTRAINT same UNIQUE (name) DEFERRABLE INITIALLY DEFERRED"},
                ]
            },
            "could not create unique index",
        ),
        (
            {
                "transaction": [
                    {"sql": "CREATE TABLE pets (owner int REFERENCES people DEFERRABLE INITIALLY DEFERRED)"},
                    {"sql": "INSERT INTO pets VALUES (999)"},
                ]
            },
            "violates foreign key constraint",
        ),
    ],
)
async def test_what_fails_or_is_not_valid_is_rolled_back(
    database: Database, migrate: Migrate, parts: dict[str, Any], words: str
) -> None:
    ran = await migrate(plan_text(database, **parts))
    assert (ran.code, ran.outcome) == (1, "rolled_back"), ran.err
    assert words in json.loads(ran.out)["reason"]
    assert await database.fetch("SELECT count(*) FROM people") == 200
    assert await database.fetch(AGE) == 0
    assert await database.fetch("SELECT to_regclass('pets')") is None


async def test_a_dry_run_shows_what_would_be_and_leaves_nothing(database: Database, migrate: Migrate) -> None:
    after = [{"sql": "CREATE INDEX CONCURRENTLY by_name ON people (name)"}]
    ran = await migrate(plan_text(database, after=after), "--dry-run", form="text")
    assert ran.code == 0, ran.err
    assert "nobody is lost" in ran.out
    assert "not run: " in ran.out
    assert await database.fetch(AGE) == 0
    assert await database.fetch("SELECT to_regclass('by_name')") is None


async def test_what_cannot_run_in_a_transaction_runs_after_it(database: Database, migrate: Migrate) -> None:
    after = [{"sql": "CREATE INDEX CONCURRENTLY by_name ON people (name);\nVACUUM people"}]
    ran = await migrate(plan_text(database, after=after))
    assert (ran.code, ran.outcome) == (0, "committed"), ran.err
    assert await database.fetch("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_name'::regclass")


async def test_an_invalid_index_that_is_left_is_named(database: Database, migrate: Migrate) -> None:
    after = [{"sql": "CREATE UNIQUE INDEX CONCURRENTLY by_name ON people (name)"}]
    ran = await migrate(plan_text(database, after=after))
    assert (ran.code, ran.outcome) == (1, "committed_not_finished"), ran.err
    reason = json.loads(ran.out)["reason"]
    assert "invalid indexes are there: by_name" in reason
    assert "DROP INDEX CONCURRENTLY by_name" in reason
    assert "the transaction is committed" in reason
    assert await database.fetch(AGE) == 1


async def test_a_lock_is_not_waited_for_longer_than_allowed(database: Database, migrate: Migrate) -> None:
    session = await asyncpg.connect(database.url)
    await session.execute("BEGIN; LOCK TABLE people IN ACCESS SHARE MODE")
    ran = await migrate(plan_text(database, lock_timeout="200ms"))
    await session.close()
    assert (ran.code, ran.outcome) == (1, "rolled_back"), ran.err
    assert "lock timeout" in json.loads(ran.out)["reason"]


async def test_a_statement_is_not_run_longer_than_allowed(database: Database, migrate: Migrate) -> None:
    ran = await migrate(plan_text(database, statement_timeout="1s", transaction=[{"sql": "SELECT pg_sleep(60)"}]))
    assert (ran.code, ran.outcome) == (1, "rolled_back"), ran.err
    assert "statement timeout" in json.loads(ran.out)["reason"]


SLEEPS = "application_name = 'deploywatch migrate' AND query LIKE '%sleep%' AND state = 'active'"


async def test_one_runs_at_a_time_and_the_other_is_held(database: Database, migrate: Migrate) -> None:
    slow = asyncio.create_task(migrate(plan_text(database, transaction=[{"sql": "SELECT pg_sleep(8)"}])))
    await until(database, SLEEPS)
    second = await migrate(plan_text(database))
    assert (second.code, second.outcome) == (3, "held")
    assert (await slow).outcome == "committed"
    assert await database.fetch(AGE) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_who_interrupts_is_told_what_stays(database: Database, tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "plan.yml"
    sql = "ALTER TABLE people ADD COLUMN age int; SELECT pg_sleep(600)"
    path.write_text(plan_text(database, statement_timeout="1h", transaction=[{"sql": sql}]))
    command = [sys.executable, "-m", "deploywatch", "migrate", str(path)]
    running = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await until(database, SLEEPS)
    running.send_signal(number)
    out, err = await running.communicate()
    assert running.returncode == 1, err
    assert b"rolled back: nothing of the transaction stays (interrupted" in out
    assert await database.fetch(AGE) == 0
    running_on = f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {SLEEPS}"  # noqa: S608
    assert await database.fetch(running_on) == 0, "the statement goes on without us"


async def test_a_connection_that_is_cut_before_the_commit_leaves_nothing(database: Database, migrate: Migrate) -> None:
    sql = "ALTER TABLE people ADD COLUMN age int; SELECT pg_sleep(600)"
    cut = asyncio.create_task(migrate(plan_text(database, transaction=[{"sql": sql}])))
    await until(database, SLEEPS)
    await database.fetch(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND {SLEEPS}"  # noqa: S608
    )
    ran = await cut
    assert (ran.code, ran.outcome) == (1, "rolled_back")
    assert await database.fetch(AGE) == 0


async def test_a_database_that_is_away_is_not_begun(database: Database, migrate: Migrate) -> None:
    gone = Database("postgresql://postgres@127.0.0.1:1/shop")
    ran = await migrate(plan_text(gone))
    assert (ran.code, ran.outcome) == (1, "not_begun")


async def test_the_backup_is_made_read_and_shown_before_anything_is_run(
    database: Database, migrate: Migrate, tmp_path: Path
) -> None:
    bad = [{"sql": "SELECT 1/0"}]
    ran = await migrate(plan_text(database, backup={"pg_dump": "backups"}, transaction=bad))
    assert ran.outcome == "rolled_back"
    backup = json.loads(ran.out)["backup"]
    (file,) = (tmp_path / "backups").iterdir()
    assert backup["file"] == str(file)
    assert backup["bytes"] == file.stat().st_size > 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert "pg_restore --clean" in ran.err
    assert "demo-password" not in ran.out + ran.err
    assert "readable" in ran.err
    listed = await asyncio.create_subprocess_exec("pg_restore", "--list", str(file), stdout=subprocess.PIPE)
    out, _ = await listed.communicate()
    assert b"TABLE DATA public people" in out


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://app:p%40ss@db/shop",
        "postgresql://app@db/shop?password=p%40ss",
        "postgresql://app:x@db/shop?password=p%40ss",
    ],
)
def test_a_password_is_no_argument_of_a_program_wherever_it_stands(dsn: str) -> None:
    settings = DatabaseSettings.model_validate({"dsn": dsn})
    assert without_password(settings) == ("postgresql://app@db/shop", "p@ss")


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"command": ["true"], "file": "b.dump", "verify": ["true"]}, "and b.dump is not there"),
        ({"command": ["false"], "file": "b.dump", "verify": ["true"]}, "false failed (1)"),
        ({"command": ["touch", "{b}"], "file": "{b}", "verify": ["true"]}, "is empty"),
        ({"command": ["cp", "/etc/passwd", "{b}"], "file": "{b}", "verify": ["false"]}, "false failed (1)"),
        ({"command": ["no-such-program"], "file": "b", "verify": ["true"]}, "cannot be started"),
        ({"command": ["true"], "file": "/etc/passwd", "verify": ["true"]}, "is older than it"),
    ],
)
async def test_without_a_backup_that_can_be_read_nothing_is_begun(
    database: Database, migrate: Migrate, tmp_path: Path, own: dict[str, Any], words: str
) -> None:
    text = json.dumps(own).replace("{b}", str(tmp_path / "b.dump"))
    ran = await migrate(plan_text(database, backup={"own": json.loads(text)}))
    assert (ran.code, ran.outcome) == (1, "not_begun")
    assert words.removeprefix("and b.dump") in json.loads(ran.out)["reason"]
    assert await database.fetch(AGE) == 0


async def test_no_secret_that_a_backup_is_given_is_told(
    database: Database, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "found-by-its-name")
    monkeypatch.setenv("FROM_THE_VAULT", "filled-into-the-plan")
    command = ["sh", "-c", 'echo "$1 $VAULT_TOKEN" >&2; exit 1', "sh", "${FROM_THE_VAULT}"]
    own = {"command": command, "file": "b.dump", "verify": ["true"], "environment": ["VAULT_TOKEN"]}
    ran = await migrate(plan_text(database, backup={"own": own}))
    assert json.loads(ran.out)["reason"] == "sh failed (1): *** ***"
    assert "found-by-its-name" not in ran.out + ran.err
    assert "filled-into-the-plan" not in ran.out + ran.err


def test_a_password_that_could_only_be_an_argument_is_refused() -> None:
    with pytest.raises(ValidationError, match="sslpassword would be an argument"):
        DatabaseSettings.model_validate({"dsn": "postgresql://app@db/shop?sslkey=k.pem&sslpassword=x"})


async def test_every_fault_of_a_plan_is_told_with_its_place_and_nothing_is_run(
    database: Database, migrate: Migrate, tmp_path: Path
) -> None:
    (tmp_path / "bad.sql").write_text("SELECT 1;\nSELEC 2;\n")
    (tmp_path / "alone.sql").write_text("SELECT 1;\n\nCREATE INDEX CONCURRENTLY i ON people (name);\nCOMMIT;\n")
    parts = {
        "transaction": [{"file": "bad.sql"}, {"file": "alone.sql"}, {"file": "missing.sql"}],
        "after": [{"sql": "ALTER TABLE people ADD COLUMN age int"}],
    }
    ran = await migrate(plan_text(database, **parts))
    assert ran.code == 2
    for words in (
        "bad.sql:2:1: not valid SQL: syntax error at or near",
        "alone.sql:3:1: CREATE INDEX CONCURRENTLY cannot run in a transaction",
        "alone.sql:4:1: begins or ends a transaction",
        "missing.sql: cannot be read",
        "can run in the transaction, where it can be rolled back",
    ):
        assert words in ran.err
    assert len(ran.err.splitlines()) == 5
    assert await database.fetch(AGE) == 0


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"backup": {}}, "write one of pg_dump"),
        ({"validate": []}, "validate"),
        ({"validate": [{"name": "v", "sql": "SELECT 1", "expect": "about 3"}]}, "is no expectation"),
        ({"transaction": [{"sql": "SELECT 1", "file": "x"}]}, "either sql or file"),
        ({"transaction": [{"sql": "-- nothing"}]}, "has no statement"),
        ({"lock_timeout": "0s"}, "no limit"),
        ({"validates": []}, "unknown key"),
    ],
)
async def test_a_bad_plan_is_an_error_with_its_place(
    database: Database, migrate: Migrate, parts: dict[str, Any], words: str
) -> None:
    ran = await migrate(plan_text(database, **parts))
    assert ran.code == 2
    assert "plan.yml:" in ran.err
    assert words in ran.err


@pytest.mark.parametrize(
    ("text", "value", "before", "good"),
    [
        ("= 0", "0", None, True),
        ("== 0", "0.1", None, False),
        ("!= 0", "0", None, False),
        ("> 100", "100", None, False),
        (">=100", "100", None, True),
        ("< 1.5", "1.4", None, True),
        ("<= -1", "0", None, False),
        ("within 1 % of before", "99", "100", True),
        ("within 1% of before", "98.9", "100", False),
        ("within 0.5 % of before", "0", "0", True),
        ("within 1 % of before", "5", None, False),
    ],
)
def test_expectations(text: str, value: str, before: str | None, good: bool) -> None:
    fault = parse(text).fault(Decimal(value), Decimal(before) if before else None)
    assert (fault is None) is good


@pytest.mark.parametrize(
    "rows", [[], [(1,), (2,)], [(1, 2)], [(None,)], [("x",)], [(float("nan"),)], [(float("inf"),)]]
)
def test_what_is_not_one_number_is_not_good(rows: list[tuple[Any, ...]]) -> None:
    with pytest.raises(ValueError, match="number"):
        number(rows)


def test_the_schema_of_plans_is_as_committed_and_takes_the_pages_example() -> None:
    assert json.loads(SCHEMA.read_text()) == schema()
    jsonschema.validate(json.loads(plan_text(Database("postgresql://h/d"))), schema())


async def test_the_plan_of_the_page_runs(database: Database, migrate: Migrate, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "migrate.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    text = text.replace("postgresql://migrator@db.example:5432/shop", database.url)
    text = text.replace(", password_file: /etc/deploywatch/migrator", "").replace("/var/backups/shop", "backups")
    jsonschema.validate(read(text, "").data, schema())
    await database.execute(
        "CREATE TABLE orders (id int, created timestamptz);"
        "INSERT INTO orders SELECT i, now() FROM generate_series(1, 500) i"
    )
    (tmp_path / "0042-orders-day.sql").write_text("-- one\nALTER TABLE orders ADD COLUMN day date;\n")
    ran = await migrate(text)
    assert (ran.code, ran.outcome) == (0, "committed"), ran.err
    assert await database.fetch("SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_by_day'::regclass")
