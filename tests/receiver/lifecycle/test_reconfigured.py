"""A configuration that is taken over counts for the incidents that are open, whatever was in force when they began."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from deploywatch.receiver.incidents import store
from deploywatch.receiver.lifecycle import checklist, reconfigured, response
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, RecordedChannel, Scene, alert, ended, settings

STEPS = {"high": [{"after": "10m", "channels": ["boss"]}, {"after": "1h", "channels": ["boss"]}]}


async def take_over(scene: Scene, config: ReceiverConfig) -> None:
    """As a reload does, or a start with another file."""
    scene.context.settings = config
    known = scene.context.channels
    scene.context.channels = {name: known.get(name, RecordedChannel()) for name in config.channels}
    await reconfigured.apply(scene.context)
    await scene.drain()


async def acknowledge(scene: Scene) -> None:
    incident = await scene.incident()
    await scene.context.store.write(
        lambda connection: response.acknowledge(
            connection, scene.context.settings, incident, scene.clock.now, by="ann", note=""
        )
    )


def told(scene: Scene, name: str) -> list[Event]:
    channel: Any = scene.context.channels[name]
    return list(channel.events)


async def opened(scene: Scene) -> None:
    await scene.take(alert())
    await scene.drain()


@pytest.mark.parametrize("kept", [(), ("team",)])
async def test_where_a_channel_is_gone_those_that_are_named_now_hear_how_it_began_and_goes_on(
    make_scene: MakeScene, kept: tuple[str, ...]
) -> None:
    scene = make_scene(settings("old", *kept))
    await opened(scene)
    for _ in range(2):
        await take_over(scene, settings("new", *kept))
    assert told(scene, "new") == [Event.OPENED]
    names = ", ".join(("new", *kept)[:1])
    assert await scene.lines("fell_back") == [
        f"old is no longer configured: from here on the incident is told to {names} instead"
    ]
    assert set((await scene.incident()).channels) == {"new", *kept}


async def test_of_what_is_quiet_those_hear_who_are_named_for_its_severity(make_scene: MakeScene) -> None:
    scene = make_scene(settings("old"))
    await opened(scene)
    await scene.take(ended(alert()))
    await take_over(scene, settings("new", "boss", notify={"by_severity": {"high": ["new"]}}))
    await scene.after(HOUR)
    assert told(scene, "new") == [Event.OPENED, Event.RESOLVED]
    assert told(scene, "boss") == []


async def test_a_channel_that_is_named_for_what_fires_by_now_hears_how_it_began_and_goes_on(
    make_scene: MakeScene,
) -> None:
    scene = make_scene(settings("team", "pager", notify={"by_severity": {"high": ["team"]}}))
    await opened(scene)
    for _ in range(2):
        await take_over(scene, settings("team", "pager", notify={"by_severity": {"high": ["team", "pager"]}}))
    assert told(scene, "pager") == [Event.OPENED]
    assert told(scene, "team") == [Event.OPENED]
    assert await scene.lines("channels_added") == [
        "the configuration names pager as well: from here on the incident is told there, too"
    ]
    await scene.take(ended(alert()))
    await scene.after(HOUR)
    assert told(scene, "pager")[-1] is Event.RESOLVED


async def test_what_somebody_has_in_hand_calls_no_more_people_until_it_is_worse(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team"))
    await opened(scene)
    await acknowledge(scene)
    await take_over(scene, settings("team", "pager"))
    assert told(scene, "pager") == []
    await scene.take(alert("Down", severity="critical"))
    await scene.drain()
    assert told(scene, "pager") == [Event.WORSENED]


@pytest.mark.parametrize("later", [("team", "pager"), ("pager",)])
async def test_of_what_is_only_logged_no_channel_hears(make_scene: MakeScene, later: tuple[str, ...]) -> None:
    scene = make_scene(settings("team"))
    await scene.take(alert(severity="low"))
    await scene.drain()
    await take_over(scene, settings(*later))
    assert told(scene, "pager") == []


async def test_items_that_are_added_to_the_checklist_are_there_and_what_is_ticked_stays(make_scene: MakeScene) -> None:
    scene = make_scene(settings(strategy={"severities": {"high": {"monitoring": ["error rate"]}}}))
    await opened(scene)
    tick = partial(checklist.tick, incident_id=1, item=1, at=NOON, by="ann")
    await scene.context.store.write(tick)
    await take_over(scene, settings(strategy={"severities": {"high": {"monitoring": ["latency"]}}}))
    checks = await scene.context.store.read(lambda connection: checklist.checks(connection, 1))
    assert [(check.text, check.done_by) for check in checks if check.phase == "monitoring"] == [
        ("error rate", "ann"),
        ("latency", None),
    ]


async def test_steps_that_are_added_are_taken_and_those_that_are_over_at_once(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "boss", notify={"by_severity": {"high": ["team"]}}))
    await opened(scene)
    await scene.after(20 * MINUTE)
    assert Event.ESCALATED not in told(scene, "boss")
    config = settings("team", "boss", notify={"by_severity": {"high": ["team"]}}, escalation={"steps": STEPS})
    await take_over(scene, config)
    assert told(scene, "boss").count(Event.ESCALATED) == 1
    await take_over(scene, config)
    await scene.after(HOUR)
    assert told(scene, "boss").count(Event.ESCALATED) == 2


async def test_a_step_that_is_moved_or_names_another_channel_is_taken_as_it_is_now(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "boss", escalation={"steps": STEPS}))
    await opened(scene)
    sooner = {"high": [{"after": "30m", "channels": ["pager"]}]}
    await take_over(scene, settings("team", "pager", escalation={"steps": sooner}))
    await scene.after(29 * MINUTE)
    assert Event.ESCALATED not in told(scene, "pager")
    await scene.after(MINUTE)
    assert told(scene, "pager").count(Event.ESCALATED) == 1
    await scene.after(2 * HOUR)
    assert told(scene, "pager").count(Event.ESCALATED) == 1


async def test_what_somebody_has_in_hand_is_not_escalated_by_new_steps(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "boss"))
    await opened(scene)
    taken = replace(await scene.incident(), acknowledged_at=scene.clock.now, acknowledged_by="ann")
    await scene.context.store.write(lambda c: store.save(c, taken))
    await take_over(scene, settings("team", "boss", escalation={"steps": STEPS}))
    await scene.after(2 * HOUR)
    assert Event.ESCALATED not in told(scene, "boss")


async def test_a_victim_rolls_nothing_back_then_either(make_scene: MakeScene) -> None:
    depends = {"dependencies": {"shop": ["database"]}}
    target = {"service": "*", "command": ["true"], "verify": {"url": "http://127.0.0.1:9/{service}"}}
    scene = make_scene(settings(**depends))
    await scene.take(alert(service="database"))
    await scene.drain()
    await scene.take(alert(action="rollback"))
    assert len(await scene.incidents()) == 1
    await take_over(scene, settings(**depends, rollback={"mode": "auto", "targets": [target]}))
    assert await scene.lines("rollback_refused") == []


async def test_what_a_window_held_is_told_once_the_window_is_gone(make_scene: MakeScene) -> None:
    window = {"name": "noon", "service": "shop", "at": f"{NOON:%H:%M}", "lasts": "3h"}
    scene = make_scene(settings(maintenance=[window]))
    await opened(scene)
    assert told(scene, "team") == []
    await take_over(scene, settings())
    assert told(scene, "team") == [Event.OPENED]
