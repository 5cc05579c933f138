"""Records of deployments: what is recorded twice changes nothing, and rollbacks are recorded too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from deploywatch.receiver.deployments import ledger, records
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.deployments.records import Record, Taken, UnknownDeploymentError
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene

BAD = Record("shop", "production", "1.2.3", NOON, dated=True, status=Status.SUCCEEDED, took=MINUTE)
BACK = replace(BAD, version="1.2.2", started_at=NOON + HOUR, rollback_of="1.2.3")


async def take(scene: Scene, record: Record) -> Taken:
    return await scene.context.store.write(lambda c: records.take(c, record))


async def versions(scene: Scene) -> list[tuple[str, str | None, Status, int | None]]:
    rows = await scene.read(lambda c: ledger.recent(c, limit=100))
    return [(row.version, row.previous_version, row.status, row.rollback_of) for row in rows]


async def test_a_second_time_changes_nothing(scene: Scene) -> None:
    first = await take(scene, BAD)
    again = await take(scene, BAD)
    assert (first.began, again.began, again.ended) == (True, False, False)
    assert again.deployment == first.deployment
    other = await take(scene, replace(BAD, status=Status.FAILED))
    assert other.deployment == first.deployment


async def test_what_it_did_not_know_is_filled_in_and_what_it_knows_stays(scene: Scene) -> None:
    await take(scene, replace(BAD, deployer="ci"))
    later = replace(BAD, previous_version="1.2.2", artifact="shop@sha256:1", deployer="somebody", fixes=7)
    taken = await take(scene, later)
    assert (taken.began, taken.ended, taken.completed) == (False, False, True)
    known = taken.deployment
    assert (known.previous_version, known.artifact, known.deployer, known.fixes) == ("1.2.2", "shop@sha256:1", "ci", 7)
    assert not (await take(scene, later)).changed


async def test_a_record_that_says_another_end_is_told_that_it_does_not_count(scene: Scene) -> None:
    await take(scene, BAD)
    taken = await take(scene, replace(BAD, status=Status.FAILED))
    assert taken.notice == "deployment 1 of 1.2.3 is succeeded already, and does not become failed"


async def test_the_record_of_what_runs_ends_it_when_it_was(scene: Scene) -> None:
    await take(scene, replace(BAD, status=None))
    ended = await take(scene, BAD)
    assert (ended.began, ended.ended) == (False, True)
    assert (ended.deployment.status, ended.deployment.finished_at) == (Status.SUCCEEDED, NOON + MINUTE)


async def test_the_same_version_at_another_time_is_another_deployment(scene: Scene) -> None:
    await take(scene, BAD)
    await take(scene, replace(BAD, started_at=NOON + timedelta(microseconds=1)))
    assert len(await versions(scene)) == 2


async def test_what_bears_no_time_is_taken_each_time(scene: Scene) -> None:
    for _ in range(2):
        await take(scene, replace(BAD, dated=False))
    assert len(await versions(scene)) == 2


async def test_a_rollback_marks_what_it_undid_and_is_itself_a_row(scene: Scene) -> None:
    bad = await take(scene, BAD)
    for _ in range(2):
        await take(scene, BACK)
    assert await versions(scene) == [
        ("1.2.2", "1.2.3", Status.SUCCEEDED, bad.deployment.id),
        ("1.2.3", None, Status.ROLLED_BACK, None),
    ]


async def test_a_rollback_that_failed_leaves_what_runs_as_it_is(scene: Scene) -> None:
    await take(scene, BAD)
    await take(scene, replace(BACK, status=Status.FAILED))
    assert [row[2] for row in await versions(scene)] == [Status.FAILED, Status.SUCCEEDED]


async def test_a_rollback_of_what_nobody_knows_is_refused_with_what_to_do(scene: Scene) -> None:
    with pytest.raises(UnknownDeploymentError, match="import that one first"):
        await take(scene, BACK)
    assert await versions(scene) == []


async def test_what_was_given_is_kept(scene: Scene) -> None:
    given = replace(BAD, previous_version="1.1", artifact="shop@sha256:1", committed_at=NOON - HOUR)
    taken = await take(scene, given)
    assert taken.deployment.previous_version == "1.1"
    assert taken.deployment.to_json()["artifact"] == "shop@sha256:1"
    assert taken.deployment.to_json()["commit_time"] == (NOON - HOUR).isoformat()
