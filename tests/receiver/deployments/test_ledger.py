"""The ledger: what ran before what, and what a rollback leaves in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.store import Store
from tests.receiver.scene import HOUR, MINUTE, NOON


def start(connection: Connection, version: str, at: datetime = NOON, **more: Any) -> Deployment:
    target = {"service": "shop", "environment": "production", **more}
    return ledger.start(connection, version=version, started_at=at, **target)


def good(connection: Connection, version: str, at: datetime = NOON, **more: Any) -> Deployment:
    ended = ledger.finish(connection, start(connection, version, at, **more).id, Status.SUCCEEDED, at + MINUTE)
    assert ended is not None
    return ended


async def test_a_deployment_runs_until_it_is_finished(store: Store) -> None:
    def work(connection: Connection) -> None:
        begun = start(connection, "1", strategy="canary", deployer="ci", ports=(80, 443))
        assert (begun.status, begun.finished_at, begun.ports) == (Status.RUNNING, None, (80, 443))
        ended = ledger.finish(connection, begun.id, Status.FAILED, NOON + MINUTE)
        assert ended is not None
        assert (ended.status, ended.finished_at) == (Status.FAILED, NOON + MINUTE)

    await store.write(work)


async def test_a_second_end_changes_nothing(store: Store) -> None:
    def work(connection: Connection) -> None:
        ended = good(connection, "1")
        assert ledger.finish(connection, ended.id, Status.FAILED, NOON + HOUR) == ended

    await store.write(work)


async def test_an_unknown_deployment_cannot_be_finished(store: Store) -> None:
    assert await store.write(lambda c: ledger.finish(c, 7, Status.SUCCEEDED, NOON)) is None


async def test_the_previous_version_is_the_last_that_succeeded(store: Store) -> None:
    def work(connection: Connection) -> None:
        assert good(connection, "1").previous_version is None
        bad = start(connection, "2", NOON + MINUTE)
        assert bad.previous_version == "1"
        ledger.finish(connection, bad.id, Status.FAILED, NOON + 2 * MINUTE)
        assert start(connection, "3", NOON + 3 * MINUTE).previous_version == "1"

    await store.write(work)


async def test_what_began_later_is_not_what_ran_before(store: Store) -> None:
    def work(connection: Connection) -> None:
        good(connection, "2", NOON + HOUR)
        assert start(connection, "1", NOON).previous_version is None

    await store.write(work)


@pytest.mark.parametrize("other", [{"service": "search"}, {"environment": "staging"}])
async def test_services_and_environments_are_kept_apart(store: Store, other: dict[str, Any]) -> None:
    def work(connection: Connection) -> None:
        good(connection, "1", **other)
        assert start(connection, "2").previous_version is None
        assert ledger.latest(connection, "shop", "production") == ledger.find(connection, 2)

    await store.write(work)


async def test_a_rollback_marks_the_deployment_and_is_a_row_of_its_own(store: Store) -> None:
    def work(connection: Connection) -> None:
        good(connection, "1")
        bad = good(connection, "2", NOON + HOUR, ports=(80,))
        back = ledger.undone(connection, bad.id, "1", NOON + 2 * HOUR, NOON + 2 * HOUR + MINUTE)
        assert (back.version, back.status, back.rollback_of, back.ports) == ("1", Status.SUCCEEDED, bad.id, (80,))
        assert back.finished_at == NOON + 2 * HOUR + MINUTE
        assert ledger.get(connection, bad.id).status is Status.ROLLED_BACK
        assert ledger.latest(connection, "shop", "production") == back
        assert start(connection, "3", NOON + 3 * HOUR).previous_version == "1"

    await store.write(work)


async def test_a_deployment_that_ci_ends_after_its_rollback_stays_rolled_back(store: Store) -> None:
    def work(connection: Connection) -> None:
        good(connection, "1")
        bad = start(connection, "2", NOON + HOUR)
        ledger.undone(connection, bad.id, "1", NOON + 2 * HOUR, NOON + 2 * HOUR)
        late = ledger.finish(connection, bad.id, Status.SUCCEEDED, NOON + 3 * HOUR)
        assert late is not None
        assert late.status is Status.ROLLED_BACK

    await store.write(work)


async def test_the_newest_come_first_and_can_be_narrowed(store: Store) -> None:
    def work(connection: Connection) -> None:
        for number in range(5):
            good(connection, str(number), NOON + timedelta(minutes=number))
        good(connection, "x", service="search")
        assert [row.version for row in ledger.recent(connection, limit=2)] == ["4", "3"]
        assert [row.version for row in ledger.recent(connection, limit=9, service="search")] == ["x"]
        newest = ledger.newest_of_each(connection, 2)
        assert {(one.service, one.version) for one in newest} == {("shop", "4"), ("shop", "3"), ("search", "x")}

    await store.write(work)


async def test_a_record_has_the_names_and_units_of_its_source(store: Store) -> None:
    record = await store.write(lambda c: good(c, "1", deployer="ann", strategy="rolling", ports=(80,)).to_json())
    assert record == {
        "id": 1,
        "timestamp": "2026-05-01T12:00:00+00:00",
        "service": "shop",
        "version": "1",
        "previous_version": None,
        "environment": "production",
        "strategy": "rolling",
        "ports": [80],
        "deployer": "ann",
        "status": "succeeded",
        "finished_at": "2026-05-01T12:01:00+00:00",
        "duration_seconds": 60.0,
        "rollback_of": None,
        "artifact": "",
        "commit_time": None,
        "fixes": None,
        "verdict": None,
        "judged_at": None,
        "success": None,
        "success_at": None,
        "success_why": None,
    }
