"""A rollback that was refused because its deployment was running is decided again once that has ended."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, insert

from deploywatch.receiver.actions import target_lock
from deploywatch.receiver.actions.rollback import reconsider
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.lifecycle import reconfigured
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.store.schema import deployments
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.front import Front, front_of
from tests.receiver.scene import HOUR, MINUTE, SECOND, Scene, alert, ended, settings

REFUSED = (
    "rollback refused (deployment_running): the deployment of 1.2.4 is still running, so nobody knows what runs when; "
    "it is decided again when that ends, if an alert fires then; finish it or stop it; asked for by HighErrorRate"
)


async def _deploying(scene: Scene, *alerts: Alert) -> None:
    """A pipeline deploys 1.2.4 since a minute, and alerts fire meanwhile."""
    began = scene.clock.now - MINUTE
    await scene.context.store.write(
        lambda c: ledger.start(c, service="shop", environment="production", version="1.2.4", started_at=began)
    )
    await scene.take(*(alerts or (critical(),)))
    await scene.drain()


async def _end(front: Front, status: str = "succeeded") -> None:
    assert (await front("PATCH", "/deployments/3", {"status": status})).status == 200
    await front.scene.drain()


@pytest.mark.parametrize("status", ["succeeded", "failed"])
async def test_it_is_rolled_back_when_the_deployment_has_ended_and_the_alert_still_fires(
    ground: Ground, status: str
) -> None:
    scene = await ground.scene()
    await _deploying(scene)
    assert await scene.lines("rollback_refused") == [REFUSED]
    assert ground.ran == []
    async with front_of(scene) as front:
        await scene.after(2 * MINUTE)
        await _end(front, status)
        assert front.woken
    assert await scene.lines("rollback_reconsidered") == [
        "deployment_running does not hold any more: whether to roll back is decided again"
    ]
    assert ground.ran == ["1.2.3 shop"]
    events = scene.channels["team"].events
    assert events.index(Event.ROLLBACK_REFUSED) < events.index(Event.ROLLBACK_STARTED)


async def test_two_alerts_that_were_refused_roll_back_once(ground: Ground) -> None:
    scene = await ground.scene()
    await _deploying(scene, alert("A", severity="critical"), alert("B", action="rollback"))
    await scene.take(alert("C", action="rollback"))
    await scene.drain()
    async with front_of(scene) as front:
        await _end(front)
        await _end(front)
    await scene.after(HOUR)
    assert ground.ran == ["1.2.3 shop"]
    assert len(await scene.lines("rollback_reconsidered")) == 1
    assert len(await scene.rollbacks()) == 1


async def test_an_end_that_was_told_to_nobody_is_seen_within_half_a_minute(ground: Ground) -> None:
    scene = await ground.scene()
    await _deploying(scene)
    now = scene.clock.now
    await scene.context.store.write(lambda c: ledger.finish(c, 3, Status.SUCCEEDED, now))
    await scene.after(30 * SECOND)
    assert ground.ran == ["1.2.3 shop"]


async def test_the_delay_is_waited_for_again(ground: Ground) -> None:
    scene = await ground.scene(delay="1m")
    await _deploying(scene)
    await scene.after(MINUTE)
    async with front_of(scene) as front:
        await _end(front)
    await scene.after(59 * SECOND)
    assert ground.ran == []
    await scene.after(SECOND)
    assert ground.ran == ["1.2.3 shop"]


async def test_an_incident_that_is_over_by_then_is_left_alone(ground: Ground) -> None:
    scene = await ground.scene()
    await _deploying(scene)
    await scene.take(ended(critical()))
    await scene.after(5 * MINUTE)
    async with front_of(scene) as front:
        await _end(front)
    await scene.after(HOUR)
    assert ground.ran == []
    assert await scene.lines("rollback_reconsidered") == []


async def test_one_that_is_quiet_just_then_is_decided_about_when_it_fires_again(ground: Ground) -> None:
    scene = await ground.scene()
    await _deploying(scene)
    await scene.take(ended(critical()))
    async with front_of(scene) as front:
        await _end(front)
    assert await scene.lines("rollback_reconsidered") == []
    await scene.take(alert(severity="critical", starts=2 * MINUTE))
    await scene.after(5 * MINUTE)
    assert ground.ran == ["1.2.3 shop"]


async def test_a_deployment_that_began_meanwhile_is_not_rolled_back(ground: Ground) -> None:
    scene = await ground.scene()
    await _deploying(scene)
    await scene.after(MINUTE)
    await scene.deployed("1.2.5", ago=30 * SECOND)
    async with front_of(scene) as front:
        await _end(front)
    assert ground.ran == []
    assert "newer_deployment" in (await scene.lines("rollback_refused"))[1]


async def test_one_that_never_ends_is_told_when_it_is_not_recent_any_more(ground: Ground) -> None:
    scene = await ground.scene(recent="1h")
    await _deploying(scene)
    await scene.after(59 * MINUTE)
    assert len(await scene.lines("rollback_refused")) == 1
    await scene.after(MINUTE)
    assert await scene.lines("rollback_reconsidered") == [
        "deployment_running does not hold any more: whether to roll back is decided again"
    ]
    assert "not_recent" in (await scene.lines("rollback_refused"))[1]


async def test_a_dry_run_says_what_it_would_do_by_then(ground: Ground) -> None:
    scene = await ground.scene(mode="dry-run")
    await _deploying(scene)
    async with front_of(scene) as front:
        await _end(front)
    assert (await scene.lines("rollback_dry_run"))[0].startswith("dry run: would roll back shop in production from")


async def test_a_previous_version_that_is_recorded_later_is_gone_back_to(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.context.store.write(lambda c: c.execute(delete(deployments)))
    record = {"service": "shop", "environment": "production", "version": "1.2.3", "status": "success"}
    record["timestamp"] = (scene.clock.now - MINUTE).isoformat()
    async with front_of(scene) as front:
        assert (await front("POST", "/deployments", record)).status == 201
        await scene.take(critical())
        await scene.drain()
        assert "rollback refused (no_previous_version)" in (await scene.lines("rollback_refused"))[0]
        assert (await front("POST", "/deployments", {**record, "previous_version": "1.2.2"})).status == 200
        await scene.drain()
    assert ground.ran == ["1.2.2 shop"]


async def test_a_target_that_is_configured_later_is_rolled_back(ground: Ground) -> None:
    configured = (await ground.scene()).context.settings
    scene = await ground.scene(target={"service": "search"})
    await scene.take(critical())
    await scene.drain()
    assert "rollback refused (no_target)" in (await scene.lines("rollback_refused"))[0]
    scene.context.settings = configured
    await scene.after(MINUTE)
    assert ground.ran == []
    await scene.context.store.write(lambda c: reconsider.look_everywhere(c, scene.clock.now))
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]


async def test_where_no_rollback_was_set_up_a_target_that_is_added_is_rolled_back(ground: Ground) -> None:
    configured = (await ground.scene()).context.settings
    scene = ground.make_scene(settings())
    await scene.take(critical())
    await scene.after(MINUTE)
    assert await scene.lines("rollback_refused") == []
    scene.context.settings = configured
    for _ in range(2):
        await reconfigured.apply(scene.context)
        await scene.drain()
    assert ground.ran == ["1.2.2 shop"]


async def test_an_alert_whose_kind_may_ask_by_now_is_decided_about(ground: Ground) -> None:
    configured = (await ground.scene()).context.settings
    scene = await ground.scene(on=["verdict"])
    await scene.take(critical())
    await scene.drain()
    assert "rollback.on does not name alerts" in (await scene.lines("rollback_refused"))[0]
    scene.context.settings = configured
    await reconfigured.apply(scene.context)
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]


@pytest.mark.parametrize(
    ("mode", "ran", "asked"), [("auto", ["1.2.2 shop"], 0), ("approve", [], 1), ("dry-run", [], 0)]
)
async def test_what_was_only_announced_is_decided_again_by_another_mode(
    ground: Ground, mode: str, ran: list[str], asked: int
) -> None:
    configured = (await ground.scene(mode=mode)).context.settings
    scene = await ground.scene(mode="dry-run")
    await scene.take(critical())
    await scene.drain()
    assert len(await scene.lines("rollback_dry_run")) == 1
    scene.context.settings = configured
    for _ in range(2):
        await reconfigured.apply(scene.context)
        await scene.drain()
    assert ground.ran == ran
    assert len(await scene.lines("approval_wanted")) == asked
    assert len(await scene.lines("rollback_dry_run")) == 1


async def test_without_a_reload_a_target_is_looked_for_within_the_hour_and_said_once(ground: Ground) -> None:
    configured = (await ground.scene()).context.settings
    scene = await ground.scene(target={"service": "search"})
    await scene.take(critical())
    await scene.after(3 * HOUR)
    assert len(await scene.lines("rollback_refused")) == 1
    scene.context.settings = configured
    await scene.after(HOUR)
    assert ground.ran == ["1.2.2 shop"]


async def test_a_version_that_could_mean_more_is_decided_again_when_a_plain_one_is_recorded(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.deployed("--force", ago=MINUTE / 2)
    await scene.deployed("1.2.4", ago=MINUTE / 3)
    await scene.take(critical())
    await scene.drain()
    assert "rollback refused (unsafe_value)" in (await scene.lines("rollback_refused"))[0]
    plain = {"service": "shop", "environment": "production", "version": "1.2.3-1", "status": "success"}
    async with front_of(scene) as front:
        await front("POST", "/deployments", {**plain, "timestamp": (scene.clock.now - MINUTE / 2.5).isoformat()})
        await scene.drain()
    assert ground.ran == ["1.2.3-1 shop"]


async def test_a_pipeline_that_begins_while_the_rollback_runs_is_told_and_so_is_the_timeline(ground: Ground) -> None:
    scene = await ground.scene()
    by, now = target_lock.holder(2), scene.clock.now
    row = {"deployment_id": 2, "incident_id": 1, "service": "shop", "environment": "production", "state": "running"}
    row |= {"from_version": "1.2.3", "to_version": "1.2.2", "detail": "", "started_at": now}
    await scene.take(alert("Slow"))
    await scene.context.store.write(lambda c: c.execute(insert(rollbacks).values(**row)))
    await scene.context.store.write(lambda c: target_lock.take(c, "shop", "production", by, now))
    new = {"service": "shop", "environment": "production", "version": "1.2.4"}
    async with front_of(scene) as front:
        assert (await front("POST", "/deployments", new)).data["notice"] == (
            "shop in production is in the hands of the rollback of deployment 2, and either may overwrite what the "
            "other deploys; when both have ended, look what runs"
        )
        elsewhere = await front("POST", "/deployments", {**new, "environment": "staging"})
        assert elsewhere.data["notice"] == ""
    assert await scene.lines("deployment_began") == [
        "1.2.4 began to be deployed while the rollback of deployment 2 is under way; either may overwrite the other"
    ]


async def test_it_is_decided_again_when_whoever_holds_the_target_lets_go(ground: Ground) -> None:
    scene = await ground.scene()
    place = ("shop", "production")
    await scene.context.store.write(lambda c: target_lock.take(c, *place, "somebody else", scene.clock.now))
    await scene.take(critical())
    await scene.drain()
    assert "rollback refused (locked)" in (await scene.lines("rollback_refused"))[0]
    await scene.context.store.write(lambda c: target_lock.give_back(c, *place, "somebody else"))
    await scene.after(30 * SECOND)
    assert ground.ran == ["1.2.2 shop"]


async def test_a_victim_that_joins_is_another_issue(ground: Ground) -> None:
    scene = await ground.scene(decide={"issues": 2, "confidence": 0}, beside={"dependencies": {"cart": ["shop"]}})
    await scene.take(critical())
    await scene.drain()
    assert "rollback refused (not_enough_issues)" in (await scene.lines("rollback_refused"))[0]
    await scene.after(SECOND)
    await scene.take(alert("CartDown", service="cart", starts=SECOND))
    await scene.after(30 * SECOND)
    assert ground.ran == ["1.2.2 shop"]


async def test_a_person_who_ends_the_incident_while_the_delay_runs_stops_it(ground: Ground) -> None:
    scene = await ground.scene(delay="10m")
    await scene.take(critical())
    await scene.drain()
    async with front_of(scene) as front:
        await front("POST", "/incidents/1/resolve", {"by": "ann", "hold": "1h"})
    await scene.after(10 * MINUTE)
    assert ground.ran == []
    (line,) = await scene.lines("rollback_refused")
    assert line.startswith("rollback refused (incident_over): every alert has resolved meanwhile, or somebody ended ")
