"""How a migration ended is in the ledger and on timelines; one that did not go well tells people until it is mended."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from deploywatch.receiver.database_migration.lint import MISSING, lint
from deploywatch.receiver.database_migration.plan import load
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.lifecycle import resolution
from deploywatch.receiver.story import Event
from tests.receiver.database_migration.conftest import Database, Migrate, plan_text
from tests.receiver.front import Front
from tests.receiver.scene import MINUTE, NOON, Scene, alert


def told(outcome: str, *, minute: int = 0, **more: Any) -> dict[str, Any]:
    """What the command says of a migration that took a minute."""
    began = NOON + timedelta(minutes=minute) - MINUTE
    times = {"started_at": began.isoformat(), "finished_at": (began + MINUTE).isoformat()}
    place = {"service": "shop", "environment": "production", "name": "orders by day", "by": "ann"}
    return {**place, **times, "outcome": outcome, **more}


async def test_it_is_recorded_once_and_is_on_the_timelines_of_open_incidents(api: Front, scene: Scene) -> None:
    await scene.take(alert(), alert(service="cart"))
    answers = [await api("POST", "/migrations", told("committed")) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 200]
    listed = await api("GET", "/migrations?service=shop")
    assert [(row["name"], row["outcome"], row["by"]) for row in listed.data] == [("orders by day", "committed", "ann")]
    assert (await api("GET", "/migrations?service=cart")).data == []
    lines = [await scene.lines("migrated", number) for number in (1, 2)]
    assert sorted(lines) == [[], ["database migration 'orders by day' by ann: committed"]]


@pytest.mark.parametrize("outcome", ["rolled_back", "not_begun", "committed_not_finished", "unknown"])
async def test_one_that_did_not_go_well_tells_people_until_a_later_one_is_committed(
    api: Front, scene: Scene, outcome: str
) -> None:
    await api("POST", "/migrations", told(outcome, reason="division by zero", restore="pg_restore shop.dump"))
    await scene.drain()
    incident = await scene.incident()
    assert (incident.service, incident.severity, incident.type) == ("shop", "medium", "database_migration")
    (opened,) = [message for message in scene.channels["team"].messages if message.event is Event.OPENED]
    assert f"{outcome.replace('_', ' ')} (division by zero)" in opened.body
    assert "pg_restore shop.dump" in opened.body
    await scene.after(MINUTE)
    assert (await scene.incident()).status is Status.OPEN
    await api("POST", "/migrations", told("committed", minute=1))
    await scene.after(MINUTE)
    await scene.after(10 * MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_a_person_who_resolves_it_is_not_asked_again(api: Front, scene: Scene) -> None:
    await api("POST", "/migrations", told("rolled_back"))
    await scene.drain()

    def resolve(connection: Connection) -> None:
        incident = store.get(connection, 1)
        resolution.resolve(connection, scene.context.settings, incident, scene.clock.now, by="ann", why="not needed")

    await scene.context.store.write(resolve)
    for _ in range(6):
        await scene.after(10 * MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"outcome": "fine"}, "$.outcome"),
        ({"finished_at": (NOON + timedelta(days=1)).isoformat()}, "in the future"),
        ({"started_at": NOON.isoformat(), "finished_at": (NOON - MINUTE).isoformat()}, "before started_at"),
    ],
)
async def test_what_cannot_be_is_refused(api: Front, more: dict[str, str], text: str) -> None:
    answer = await api("POST", "/migrations", {**told("committed"), **more})
    assert (answer.status, text in answer.data) == (400, True)


async def test_the_command_records_and_its_exit_code_is_the_databases(
    api: Front, scene: Scene, database: Database, migrate: Migrate
) -> None:
    scene.clock.now = datetime.now(UTC)
    url = str(api.http.make_url("/"))
    good = await migrate(plan_text(database), "--url", url, "--by", "ann")
    assert (good.code, "recorded as database migration 1" in good.err) == (0, True)
    bad = await migrate(plan_text(database), "--url", url)
    assert (bad.code, "recorded as database migration 2" in bad.err) == (1, True)
    listed = await api("GET", "/migrations")
    assert [row["outcome"] for row in listed.data] == ["rolled_back", "committed"]
    silent = await migrate(plan_text(database), "--dry-run")
    assert "recorded" not in silent.err
    away = await migrate(plan_text(database), "--url", "http://127.0.0.1:1")
    assert (away.code, "NOT RECORDED, and nobody is told" in away.err) == (1, True)
    alone = await migrate(plan_text(database))
    assert "not recorded, and nobody is told" in alone.err


def test_squawk_says_what_locks_with_its_place_and_what_the_plan_does_itself_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "orders.sql").write_text("SELECT 1;\n\nALTER TABLE people\n  ADD COLUMN day date NOT NULL;\n")
    text = plan_text(Database("postgresql://127.0.0.1/x"), transaction=[{"file": "orders.sql"}])
    (tmp_path / "plan.yml").write_text(text)
    said = list(lint(load(tmp_path / "plan.yml")))
    assert [sentence.partition(" adding-required-field")[0] for sentence in said] == [
        f"lint: {tmp_path / 'orders.sql'}:4:"
    ]


def test_squawk_finds_no_password_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "DEPLOYWATCH_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2")
    (tmp_path / "plan.yml").write_text(plan_text(Database("postgresql://127.0.0.1/x")))
    program = tmp_path / "squawk"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/found\necho '[]'\n")
    program.chmod(0o755)
    assert list(lint(load(tmp_path / "plan.yml"), str(program))) == []
    names = {row.partition("=")[0] for row in (tmp_path / "found").read_text().splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"}


def test_that_squawk_is_missing_or_broken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plan.yml").write_text(plan_text(Database("postgresql://127.0.0.1/x")))
    plan = load(tmp_path / "plan.yml")
    assert "gave no answer that can be read" in next(iter(lint(plan, "/bin/false")))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert list(lint(plan)) == [MISSING]
