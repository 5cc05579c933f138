"""Escalation: at once when the plan says so, later when nobody takes the incident in hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploywatch.receiver.incidents import store
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended, settings

AFTER_5M = {"escalate_after": "5m"}


async def _acknowledge(scene: Scene) -> None:
    known = replace(await scene.incident(), acknowledged_at=scene.clock.now, acknowledged_by="ann")
    await scene.context.store.write(lambda c: store.save(c, known))


async def test_a_critical_alert_escalates_at_once_to_those_who_are_configured(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "management", escalation={"channels": ["management"]}))
    await scene.take(alert(severity="critical", annotations={"channels": "team"}))
    await scene.drain()
    assert scene.channels["management"].events[0] is Event.ESCALATED
    assert Event.ESCALATED not in scene.channels["team"].events
    assert (await scene.incident()).channels == ("team", "management")


async def test_a_channel_that_does_not_tell_of_openings_is_called_when_it_escalates(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", escalation={"channels": ["team"]}))
    scene.channels["team"].unwanted.add(Event.OPENED)
    await scene.take(alert(severity="critical"))
    await scene.drain()
    assert scene.channels["team"].events == [Event.ESCALATED]


async def test_who_was_escalated_to_hears_of_the_end_too(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "management", escalation={"channels": ["management"]}))
    fired = alert(severity="critical", annotations={"channels": "team"})
    await scene.take(fired)
    await scene.take(ended(fired))
    await scene.after(HOUR)
    assert scene.channels["management"].events == [Event.ESCALATED, Event.RESOLVED]


async def test_an_incident_that_nobody_acknowledges_is_escalated_when_its_time_is_up(scene: Scene) -> None:
    await scene.take(alert(annotations=AFTER_5M))
    await scene.after(4 * MINUTE)
    assert await scene.lines("escalated") == []
    await scene.after(MINUTE)
    assert await scene.lines("escalated") == ["escalated to team: nobody acknowledged it since 12:00:00 UTC"]
    assert scene.channels["team"].events == [Event.OPENED, Event.ESCALATED]


async def test_an_acknowledged_incident_is_not_escalated(scene: Scene) -> None:
    await scene.take(alert(annotations=AFTER_5M))
    await _acknowledge(scene)
    await scene.after(HOUR)
    assert await scene.lines("escalated") == []


async def test_a_resolved_incident_is_not_escalated(scene: Scene) -> None:
    fired = alert(annotations={"escalate_after": "20m"})
    await scene.take(fired)
    await scene.take(ended(fired))
    await scene.after(6 * MINUTE)
    await scene.after(HOUR)
    assert await scene.lines("escalated") == []


async def test_an_incident_that_was_quiet_when_its_time_was_up_escalates_once_it_fires_again(scene: Scene) -> None:
    await scene.take(alert(annotations=AFTER_5M))
    await scene.after(4 * MINUTE)
    await scene.take(ended(alert()))
    await scene.after(2 * MINUTE)
    assert await scene.lines("escalated") == []
    await scene.take(alert(starts=6 * MINUTE, annotations=AFTER_5M))
    await scene.after(5 * MINUTE)
    assert len(await scene.lines("escalated")) == 1


async def test_the_shortest_time_of_all_its_alerts_counts(scene: Scene) -> None:
    await scene.take(alert(annotations={"escalate_after": "15m"}))
    await scene.take(alert("ServiceDown", annotations={"escalate_after": "2m"}))
    await scene.take(alert("HighLatency", annotations={"escalate_after": "30m"}))
    await scene.after(2 * MINUTE)
    assert len(await scene.lines("escalated")) == 1
    await scene.after(HOUR)
    assert len(await scene.lines("escalated")) == 1


async def test_without_a_channel_the_timeline_says_that_nobody_was_reached(make_scene: MakeScene) -> None:
    scene = make_scene(settings().model_copy(update={"channels": {}}))
    await scene.take(alert(severity="critical"))
    assert await scene.lines("escalated") == [
        "escalated to nobody: no channel is configured: HighErrorRate is critical"
    ]


SAME_TIME: dict[str, tuple[dict[str, Any], str]] = {
    "the alert's time and the sources' step": ({}, "30m"),
    "the alert's time and a step of the config": (
        {"escalation": {"steps": {"high": [{"after": "10m", "channels": ["team"]}]}}},
        "10m",
    ),
    "the alert's time and its severity's": (
        {"strategy": {"severities": {"high": {"immediate": ["notify"], "escalate_after": "5m"}}}},
        "5m",
    ),
    "two steps of the config": (
        {"escalation": {"steps": {"high": [{"after": "10m", "channels": ["team"]}] * 2}}},
        "",
    ),
}


@pytest.mark.parametrize("name", SAME_TIME)
async def test_escalations_that_are_due_at_the_same_time_are_told_once(make_scene: MakeScene, name: str) -> None:
    more, after = SAME_TIME[name]
    scene = make_scene(settings(**more))
    await scene.take(alert(annotations={"escalate_after": after}))
    await scene.drain()
    for minutes in (5, 5, 20):
        await scene.after(minutes * MINUTE)
    assert scene.channels["team"].events.count(Event.ESCALATED) == 1
    assert len(await scene.lines("escalated")) == 1


async def test_who_was_not_reached_by_the_other_escalation_is_reached_all_the_same(make_scene: MakeScene) -> None:
    steps = {"high": [{"after": "5m", "channels": ["management"]}]}
    scene = make_scene(settings("team", "management", escalation={"channels": ["team"], "steps": steps}))
    await scene.take(alert(annotations=AFTER_5M))
    await scene.drain()
    await scene.after(5 * MINUTE)
    assert [scene.channels[name].events.count(Event.ESCALATED) for name in ("team", "management")] == [1, 1]


async def test_a_later_escalation_is_told_again(make_scene: MakeScene) -> None:
    steps = {"high": [{"after": "10m", "channels": ["team"]}]}
    scene = make_scene(settings(escalation={"steps": steps}))
    await scene.take(alert(annotations=AFTER_5M))
    await scene.after(5 * MINUTE)
    await scene.after(5 * MINUTE)
    assert scene.channels["team"].events.count(Event.ESCALATED) == 2
