"""The deployment is compared with the last alert that asks, whichever came first, with which webhook, and how often."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploywatch.receiver.actions.rollback import rollback
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground
from tests.receiver.scene import HOUR, MINUTE, SECOND, Scene, alert, ended

# 1.2.3 was deployed a minute before noon.
LINGERS = alert("DiskFull", severity="critical", starts=-HOUR / 2)
ERRORS = alert("HighErrorRate", severity="critical")
NEWER = "rollback refused (newer_deployment): a deployment of 1.2.3 began at 11:59:00 UTC"


@pytest.mark.parametrize("order", [1, -1])
async def test_of_two_in_one_webhook_the_later_counts(ground: Ground, order: int) -> None:
    scene = await ground.scene()
    await scene.take(*[LINGERS, ERRORS][::order])
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    assert await scene.lines("rollback_refused") == []


@pytest.mark.parametrize("joins", [ERRORS, alert("HighErrorRate", severity="low", action="rollback")])
async def test_one_that_joins_asks_by_its_severity_or_by_its_label(ground: Ground, joins: Alert) -> None:
    scene = await ground.scene()
    await scene.take(LINGERS)
    await scene.drain()
    (line,) = await scene.lines("rollback_refused")
    assert line.startswith(NEWER)
    await scene.take(joins)
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    await scene.after(5 * MINUTE)
    assert await scene.lines("rollback_refused") == [line]


async def test_one_that_does_not_ask_leaves_the_remedy_in_place(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(LINGERS, alert("SlowSearch", severity="high"))
    await scene.after(HOUR)
    assert ground.ran == []


async def test_of_the_next_deployment_people_hear_anew_that_it_may_be_the_remedy(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(LINGERS)
    await scene.drain()
    await scene.after(MINUTE)
    await scene.deployed("1.2.4", ago=MINUTE / 2)
    for _ in range(2):
        await scene.after(SECOND)
        await _asked_for(scene)
    # Each answers a person, and people hear once of each deployment.
    assert [line.startswith("rollback refused (newer") for line in await scene.lines("rollback_refused")] == [True] * 3
    assert scene.channels["team"].events.count(Event.ROLLBACK_REFUSED) == 2


async def test_a_person_may_ask_because_of_any_alert_that_fires(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(LINGERS, alert("SlowSearch", severity="high"))
    await scene.drain()
    await _asked_for(scene)
    assert ground.ran == ["1.2.2 shop"]


async def test_a_person_is_told_that_the_deployment_may_be_the_remedy_where_nothing_began_after_it(
    ground: Ground,
) -> None:
    scene = await ground.scene()
    await scene.take(LINGERS)
    await scene.drain()
    await _asked_for(scene)
    assert ground.ran == []
    assert [line.startswith(NEWER) for line in await scene.lines("rollback_refused")] == [True, True]


@pytest.mark.parametrize(("lowered_to", "ran"), [(None, ["1.2.2 shop"]), (-2 * MINUTE, [])])
async def test_a_start_that_alertmanager_has_lowered_since_is_what_counts(
    ground: Ground, lowered_to: timedelta | None, ran: list[str]
) -> None:
    scene = await ground.scene()
    await scene.take(alert(starts=-MINUTE / 2))
    await scene.after(2 * MINUTE)
    if lowered_to is not None:
        await scene.take(alert(starts=lowered_to))
    await _asked_for(scene)
    assert ground.ran == ran


async def _asked_for(scene: Scene) -> None:
    incident = await scene.incident()
    await scene.context.store.write(lambda c: rollback.queue_for(c, incident, "ann", scene.clock.now))
    await scene.drain()


@pytest.mark.parametrize("again", [ERRORS, alert("HighErrorRate", severity="critical", starts=2 * MINUTE)])
async def test_one_that_was_over_when_it_was_decided_and_fires_again_is_decided_about_again(
    ground: Ground, again: Alert
) -> None:
    scene = await ground.scene(delay="30s")
    await scene.take(ERRORS)
    await scene.take(ended(ERRORS))
    await scene.after(30 * SECOND)
    (line,) = await scene.lines("rollback_refused")
    assert line.startswith("rollback refused (incident_over)")
    await scene.after(2 * MINUTE)
    await scene.take(again)  # with the start that it had, or another
    await scene.drain()
    await scene.after(31 * SECOND)
    assert ground.ran == ["1.2.2 shop"]
    assert await scene.lines("rollback_refused") == [line]


async def test_the_next_deployment_of_an_incident_that_lingers_is_rolled_back_as_well(ground: Ground) -> None:
    scene = await ground.scene(cooldown="1m")
    await scene.take(LINGERS, ERRORS)
    await scene.drain()
    await scene.take(ended(ERRORS))
    await scene.after(2 * MINUTE)
    await scene.deployed("1.2.4", ago=MINUTE)
    await scene.take(alert("HighErrorRate", severity="critical", starts=scene.clock.now - ERRORS.starts_at))
    await scene.drain()
    assert ground.ran == ["1.2.2 shop", "1.2.2 shop"]
