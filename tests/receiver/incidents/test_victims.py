"""What a failing dependency drags down is shown on its incident, and opens none of its own."""

from __future__ import annotations

import pytest

from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.incidents.dependencies import causes
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import MINUTE, Scene, alert, ended, settings

CAUSE, VICTIM = alert(service="database"), alert(service="shop")


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """The front depends on the shop, which depends on the database."""
    return make_scene(settings(dependencies={"front": ["shop"], "shop": ["database"]}, quiet_time="1m"))


def test_causes_are_found_near_and_far_and_circles_do_no_harm() -> None:
    assert list(causes("a", {"a": ["b", "c"], "b": ["d"], "c": ["d", "a"], "d": ["a"]})) == ["b", "c", "d"]


async def test_a_victim_belongs_to_the_open_incident_of_its_cause(scene: Scene) -> None:
    await scene.take(CAUSE)
    reasons = await scene.take(VICTIM)
    assert (await scene.incident()).service == "database"
    assert reasons == {(Effect.ATTACH, Reason.VICTIM_OF_DEPENDENCY): 1}
    assert await scene.lines("victim") == ["HighErrorRate of shop counted as a victim"]


async def test_a_victim_far_away_belongs_there_too(scene: Scene) -> None:
    await scene.take(CAUSE)
    await scene.take(alert(service="front"))
    assert len(await scene.incidents()) == 1


async def test_a_victim_in_another_environment_has_its_own_incident(scene: Scene) -> None:
    await scene.take(CAUSE)
    await scene.take(alert(service="shop", environment="staging"))
    assert len(await scene.incidents()) == 2


async def test_a_victim_tells_nobody_and_rolls_nothing_back(scene: Scene) -> None:
    await scene.take(alert(service="database", severity="critical"))
    await scene.drain()
    count = len(scene.channels["team"].messages)
    await scene.take(alert(service="shop", severity="critical", action="rollback"))
    await scene.drain()
    assert len(scene.channels["team"].messages) == count
    assert await scene.lines("rollback_asked") == []


async def test_a_cause_whose_channel_does_not_tell_of_openings_swallows_nothing(scene: Scene) -> None:
    scene.channels["team"].unwanted.add(Event.OPENED)
    await scene.take(CAUSE)
    await scene.drain()
    await scene.take(VICTIM)
    assert len(await scene.incidents()) == 2


async def test_the_incident_lasts_as_long_as_its_victims(scene: Scene) -> None:
    await scene.take(CAUSE)
    await scene.take(VICTIM)
    await scene.take(ended(CAUSE))
    await scene.after(5 * MINUTE)
    assert (await scene.incident()).status is not Status.RESOLVED
    await scene.take(ended(VICTIM))
    await scene.after(5 * MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_without_its_cause_it_opens_an_incident(scene: Scene) -> None:
    await scene.take(VICTIM)
    assert (await scene.incident()).service == "shop"


@pytest.mark.parametrize(
    ("cause", "victim", "attached"),
    [
        ("eu", "eu", True),
        ("", "eu", True),
        ("us", "eu", False),
        ("eu", "", False),
    ],
)
async def test_a_victim_belongs_to_a_cause_with_its_further_values_or_with_none(
    make_scene: MakeScene, cause: str, victim: str, attached: bool
) -> None:
    apart = ["service", "environment", "region"]
    scene = make_scene(settings(dependencies={"shop": ["database"]}, correlate_by=apart))
    await scene.take(alert(service="database", region=cause))
    await scene.take(alert(service="shop", region=victim))
    assert len(await scene.incidents()) == (1 if attached else 2)


async def test_a_cause_with_a_victims_own_further_values_comes_before_one_without(make_scene: MakeScene) -> None:
    apart = ["service", "environment", "region"]
    scene = make_scene(settings(dependencies={"shop": ["database"]}, correlate_by=apart))
    await scene.take(alert(service="database"), alert(service="database", region="eu"))
    await scene.take(alert(service="shop", region="eu"))
    assert await scene.lines("victim", incident=2) == ["HighErrorRate of shop counted as a victim"]


async def test_a_victim_that_is_worse_than_its_cause_has_its_own_incident_and_is_told(make_scene: MakeScene) -> None:
    scene = make_scene(settings(dependencies={"shop": ["database"]}))
    await scene.take(alert(service="database", severity="high"))
    await scene.take(alert(service="shop", severity="critical"))
    assert [(incident.service, incident.severity) for incident in await scene.incidents()] == [
        ("database", "high"),
        ("shop", "critical"),
    ]
    await scene.drain()
    assert [message.incident.service for message in scene.channels["team"].messages].count("shop") >= 1


async def test_a_cause_that_nobody_was_told_of_swallows_nothing(make_scene: MakeScene) -> None:
    scene = make_scene(settings(dependencies={"shop": ["database"]}))
    await scene.take(alert(service="database", severity="low"))  # source 000: low is only logged
    await scene.take(alert(service="shop", severity="low"))
    assert [incident.service for incident in await scene.incidents()] == ["database", "shop"]


@pytest.mark.parametrize("again", [False, True])
async def test_nor_does_one_whose_channel_refuses_or_cannot_be_reached(make_scene: MakeScene, again: bool) -> None:
    scene = make_scene(settings(dependencies={"shop": ["database"]}))
    scene.channels["team"].failures.extend(DeliveryError("server", "no", again=again) for _ in range(9))
    await scene.take(CAUSE)
    await scene.drain()
    await scene.take(VICTIM)
    assert [incident.service for incident in await scene.incidents()] == ["database", "shop"]


async def test_nor_does_one_that_waits_for_the_end_of_a_silent_window(make_scene: MakeScene) -> None:
    window = {"name": "move", "service": "database", "at": "00:00", "lasts": "23h"}
    scene = make_scene(settings(dependencies={"shop": ["database"]}, maintenance=[window]))
    await scene.take(CAUSE)
    await scene.drain()
    await scene.take(VICTIM)
    await scene.drain()
    assert [message.incident.service for message in scene.channels["team"].messages] == ["shop"]


async def test_nor_does_one_whose_alerts_are_quiet(scene: Scene) -> None:
    await scene.take(CAUSE)
    await scene.drain()
    await scene.take(ended(CAUSE))
    await scene.take(VICTIM)
    assert [incident.service for incident in await scene.incidents()] == ["database", "shop"]
