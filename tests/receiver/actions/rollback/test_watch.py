"""What was rolled back is watched: something may put the bad version back after the proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from deploywatch.receiver.actions.rollback.watch import Reason, judge
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.store.schema import deployments
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.actions.rollback.test_brakes import DEPLOYMENT
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, ended

BACK = {"status": "healthy", "version": "1.2.3"}


async def verified(ground: Ground, **changes: object) -> Scene:
    """A scene whose rollback to 1.2.2 was verified."""
    scene = await ground.scene(**changes)
    await scene.take(critical())
    await scene.drain()
    assert await scene.lines("rollback_verified")
    return scene


async def test_the_bad_version_that_comes_back_is_said_once_and_escalated(ground: Ground) -> None:
    scene = await verified(ground)
    ground.exporter.answers = [BACK]
    await scene.after(MINUTE)
    await scene.after(MINUTE)
    (line,) = await scene.lines("rollback_undone")
    assert line.startswith("something put 1.2.3 back: shop in production was rolled back to 1.2.2, which was verified")
    assert any("something put 1.2.3 back" in text for text in await scene.lines("escalated"))
    last = scene.channels["team"].messages[-1]
    assert (last.event, last.title) == (Event.ESCALATED, "1.2.3 is back: HighErrorRate (shop in production)")
    assert "something put 1.2.3 back" in last.body
    assert ground.ran == ["1.2.2 shop"]


async def test_it_is_watched_for_a_time_after_the_incident_and_then_pages_nobody(ground: Ground) -> None:
    scene = await verified(ground)
    await scene.take(ended(critical()))
    await scene.after(10 * MINUTE)
    assert (await scene.incident()).resolved_at
    ground.exporter.answers = [BACK]
    await scene.after(MINUTE)
    assert len(await scene.lines("rollback_undone")) == 1
    last = scene.channels["team"].messages[-1]
    assert last.event is Event.UPDATE
    assert "something put 1.2.3 back" in last.body


async def test_after_that_time_nobody_looks_any_more(ground: Ground) -> None:
    scene = await verified(ground)
    await scene.take(ended(critical()))
    await scene.after(10 * MINUTE)
    await scene.after(31 * MINUTE)
    ground.exporter.answers = [BACK]
    await scene.after(HOUR)
    assert await scene.lines("rollback_undone") == []


async def test_another_version_that_somebody_tells_of_ends_the_watch(ground: Ground) -> None:
    scene = await verified(ground)
    scene.clock.advance(MINUTE)
    await scene.deployed("1.2.4", ago=timedelta())
    ground.exporter.answers = [BACK]
    await scene.after(5 * MINUTE)
    assert await scene.lines("rollback_undone") == []


@pytest.mark.parametrize("ended_well", [True, None])
async def test_the_bad_version_that_somebody_deploys_again_is_said_once_and_calls_nobody(
    ground: Ground, ended_well: bool | None
) -> None:
    # Argo CD's notification announces its self-heal as a deployment, which need not have ended yet.
    scene = await verified(ground)
    scene.clock.advance(MINUTE)
    again = await scene.deployed("1.2.3", ago=timedelta())
    if ended_well is None:
        await scene.context.store.write(
            lambda c: c.execute(update(deployments).where(deployments.c.id == again.id).values(status="running"))
        )
    ground.exporter.answers = [BACK]
    for _ in range(3):
        await scene.after(MINUTE)
    (line,) = await scene.lines("rollback_undone")
    assert line.startswith("1.2.3 is deployed again: shop in production was rolled back from it to 1.2.2, which was ")
    last = scene.channels["team"].messages[-1]
    assert (last.event, last.title) == (Event.UPDATE, "1.2.3 is deployed again: HighErrorRate (shop in production)")
    assert "unless that is meant, set what deploys it" in last.body


async def test_a_deployment_that_failed_does_not_end_the_watch(ground: Ground) -> None:
    scene = await verified(ground)
    scene.clock.advance(MINUTE)
    await scene.deployed("1.2.4", ago=timedelta(), good=False)
    ground.exporter.answers = [BACK]
    await scene.after(MINUTE)
    assert len(await scene.lines("rollback_undone")) == 1


async def test_watching_can_be_turned_off(ground: Ground) -> None:
    scene = await verified(ground, verify={"watch": "0s"})
    ground.exporter.answers = [BACK]
    await scene.after(5 * MINUTE)
    assert await scene.lines("rollback_undone") == []


@pytest.mark.parametrize(
    ("running", "newer", "incident_open", "minutes", "reason"),
    [
        ("1.2.2", None, True, 99, Reason.STAYS),
        ("1.2.2", None, False, 29, Reason.STAYS),
        ("1.2.2", None, False, 30, Reason.OVER),
        ("", None, False, 0, Reason.STAYS),
        ("1.2.3", None, False, 30, Reason.BACK),
        ("1.2.3", ("1.2.4", "succeeded"), True, 0, Reason.NEWER_DEPLOYMENT),
        ("1.2.3", ("1.2.4", "running"), True, 99, Reason.STAYS),
        ("1.2.3", ("1.2.4", "running"), False, 30, Reason.OVER),
        ("1.2.3", ("1.2.4", "failed"), False, 0, Reason.BACK),
        ("1.2.2", ("1.2.3", "failed"), False, 0, Reason.STAYS),
        ("1.2.2", ("1.2.3", "running"), True, 0, Reason.DEPLOYED_AGAIN),
        ("", ("1.2.3", "succeeded"), False, 30, Reason.DEPLOYED_AGAIN),
    ],
)
def test_how_it_stands(
    running: str, newer: tuple[str, str] | None, incident_open: bool, minutes: int, reason: Reason
) -> None:
    now = NOON + timedelta(minutes=minutes)
    until = NOON + 30 * MINUTE
    told = replace(DEPLOYMENT, version=newer[0], status=Status(newer[1])) if newer else None
    judged = judge(running=running, bad="1.2.3", newer=told, incident_open=incident_open, now=now, until=until)
    assert judged is reason
