"""Maintenance: what is held back, what is said about it, and what is done when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.front import Front, front_of
from tests.receiver.scene import HOUR, MINUTE, NOON, SECOND, alert, ended, settings

ANN = {"by": "ann"}
SHOP = {**ANN, "service": "shop", "environment": "production", "lasts": "1h", "reason": "we move the database"}
WHY = "held until 2026-05-01 13:00 UTC: we move the database"


@pytest.fixture
async def front(make_scene: MakeScene) -> AsyncIterator[Front]:
    async with front_of(make_scene(settings("team", "boss", escalation={"channels": ["boss"]}))) as served:
        yield served


async def test_actions_and_messages_wait_and_the_timeline_says_so(front: Front) -> None:
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert(severity="critical"))
    await front.scene.drain()
    assert await front.scene.lines("action_held") == [f"rollback, notify, escalate: {WHY}"]
    assert front.scene.channels["team"].messages == front.scene.channels["boss"].messages == []
    assert await front.scene.lines("escalated") == await front.scene.lines("rollback_refused") == []


async def test_what_was_held_is_done_when_it_ends_and_alerts_still_fire(front: Front) -> None:
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert(severity="critical"))
    await front.scene.after(HOUR - SECOND)
    assert front.scene.channels["team"].messages == []
    await front.scene.after(SECOND)
    assert await front.scene.lines("action_released") == ["maintenance is over: rollback, notify, escalate"]
    assert front.scene.channels["team"].events[0] is Event.OPENED
    assert Event.OPENED in front.scene.channels["boss"].events
    await front.scene.after(HOUR)
    assert len(await front.scene.lines("action_released")) == 1


async def test_what_becomes_worse_meanwhile_is_in_nobodys_hand_and_told_when_it_ends(front: Front) -> None:
    await front.scene.take(alert("DiskFilling", severity="medium"))
    await front.scene.drain()
    await front("POST", "/incidents/1/acknowledge", ANN)
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert("CheckoutDown", severity="critical"))
    await front.scene.drain()
    assert (await front.scene.incident()).acknowledged_at is None
    assert Event.WORSENED not in front.scene.channels["team"].events
    await front.scene.after(HOUR)
    assert Event.WORSENED in front.scene.channels["team"].events


async def test_nothing_is_done_when_the_incident_is_over_by_then(front: Front) -> None:
    fired = alert()
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(fired)
    await front.scene.take(ended(fired))
    await front.scene.after(5 * MINUTE)
    await front.scene.after(HOUR)
    assert await front.scene.lines("action_dropped") == ["notify, investigate: not done, the incident is over"]
    assert front.scene.channels["team"].messages == []


async def test_a_window_that_ends_early_lets_go_at_once(front: Front) -> None:
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert())
    await front.scene.after(10 * MINUTE)
    answer = await front("POST", "/maintenance/1/end", {"by": "bob"})
    await front.scene.drain()
    assert (answer.data["open"], answer.data["ended_by"]) == (False, "bob")
    assert front.woken
    assert front.scene.channels["team"].events == [Event.OPENED]


DELAYED = {
    "rollback": {
        "mode": "dry-run",
        "delay": "10m",
        "targets": [{"command": ["true"], "verify": {"url": "http://127.0.0.1:1/"}}],
    },
    "response": {"deadlines": {"critical": "0s"}},
}


@pytest.fixture
async def delayed(make_scene: MakeScene) -> AsyncIterator[Front]:
    """A rollback waits for its delay of ten minutes, and a window of an hour opens after one."""
    async with front_of(make_scene(settings(**DELAYED))) as served:
        await served.scene.deployed("1.2.2", ago=HOUR)
        await served.scene.deployed("1.2.3", ago=MINUTE)
        await served.scene.take(alert(severity="critical"))
        await served.scene.after(MINUTE)
        await served("POST", "/maintenance", SHOP)
        yield served


async def test_a_rollback_that_comes_due_in_a_window_waits_for_its_end(delayed: Front) -> None:
    scene = delayed.scene
    await scene.after(9 * MINUTE)
    assert await scene.lines("action_held") == ["rollback: held until 2026-05-01 13:01 UTC: we move the database"]
    assert await scene.lines("rollback_dry_run") == await scene.lines("rollback_refused") == []
    await scene.after(51 * MINUTE)
    assert await scene.lines("action_released") == ["maintenance is over: rollback"]
    assert len(await scene.lines("rollback_dry_run")) == 1
    await scene.after(2 * HOUR)
    assert len(await scene.lines("rollback_dry_run")) == 1


async def test_it_is_decided_at_once_when_the_window_ends_early(delayed: Front) -> None:
    await delayed.scene.after(9 * MINUTE)
    await delayed("POST", "/maintenance/1/end", {"by": "bob"})
    await delayed.scene.drain()
    assert len(await delayed.scene.lines("rollback_dry_run")) == 1


async def test_a_second_window_holds_it_again(delayed: Front) -> None:
    scene = delayed.scene
    await scene.after(9 * MINUTE)
    await scene.after(51 * MINUTE - SECOND)
    await delayed("POST", "/maintenance", SHOP)
    await scene.after(SECOND)
    assert await scene.lines("rollback_dry_run") == []
    await scene.after(HOUR)
    assert len(await scene.lines("rollback_dry_run")) == 1


async def test_it_is_dropped_when_the_incident_is_over_by_then(delayed: Front) -> None:
    scene = delayed.scene
    await scene.after(9 * MINUTE)
    await delayed("POST", "/incidents/1/resolve", {**ANN, "force": True})
    await scene.after(HOUR)
    assert await scene.lines("action_dropped") == ["rollback: not done, the incident is over"]
    assert await scene.lines("rollback_dry_run") == await scene.lines("rollback_refused") == []


async def test_what_a_person_asks_for_in_a_window_waits_too_and_says_so(front: Front) -> None:
    await front.scene.take(alert())
    await front("POST", "/maintenance", SHOP)
    await front("POST", "/incidents/1/rollback", ANN)
    await front.scene.drain()
    assert await front.scene.lines("action_held") == [f"rollback: {WHY}"]
    await front.scene.after(HOUR)
    assert (await front.scene.lines("rollback_refused"))[0].endswith("; asked for by ann")


async def test_another_window_that_follows_holds_on(front: Front) -> None:
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert())
    await front.scene.after(30 * MINUTE)
    await front("POST", "/maintenance", {**SHOP, "environment": "*"})
    await front.scene.after(30 * MINUTE)
    assert front.scene.channels["team"].messages == []
    await front.scene.after(30 * MINUTE)
    assert front.scene.channels["team"].events[0] is Event.OPENED


async def test_with_tell_people_hear_of_it_and_only_actions_wait(front: Front) -> None:
    await front("POST", "/maintenance", {**SHOP, "tell": True})
    await front.scene.take(alert(severity="critical"))
    await front.scene.drain()
    assert await front.scene.lines("action_held") == [f"rollback: {WHY}"]
    assert front.scene.channels["team"].events == [Event.OPENED]
    assert Event.OPENED in front.scene.channels["boss"].events


async def test_other_services_and_environments_are_not_held(front: Front) -> None:
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert(service="search"), alert(environment="staging"))
    await front.scene.drain()
    assert front.scene.channels["team"].events == [Event.OPENED] * 2


async def test_deadlines_of_what_opens_meanwhile_begin_when_it_ends(front: Front) -> None:
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert())
    for minutes in (0, 50, 10, 29):
        await front.scene.after(minutes * MINUTE)
        assert await front.scene.lines("escalated") == await front.scene.lines("reminded") == []
    await front.scene.after(MINUTE)
    assert len(await front.scene.lines("escalated")) == 1
    assert len(await front.scene.lines("reminded")) == 1


async def test_deadlines_that_pass_meanwhile_wait_for_its_end(front: Front) -> None:
    await front.scene.take(alert())
    await front.scene.drain()
    await front("POST", "/maintenance", SHOP)
    await front.scene.after(50 * MINUTE)
    assert await front.scene.lines("escalated") == await front.scene.lines("reminded") == []
    await front.scene.after(10 * MINUTE)
    assert len(await front.scene.lines("escalated")) == 1
    assert len(await front.scene.lines("reminded")) == 1


async def test_an_escalation_that_the_alert_asks_for_waits_too(make_scene: MakeScene) -> None:
    async with front_of(make_scene(settings(escalation={"steps": {"high": []}}))) as front:
        await front.scene.take(alert(annotations={"escalate_after": "10m"}))
        await front("POST", "/maintenance", SHOP)
        await front.scene.after(50 * MINUTE)
        assert await front.scene.lines("escalated") == []
        await front.scene.after(10 * MINUTE)
        assert len(await front.scene.lines("escalated")) == 1


async def test_who_joins_later_is_told_when_it_ends(front: Front) -> None:
    await front.scene.take(alert(annotations={"channels": "team"}))
    await front.scene.drain()
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert("HighLatency", annotations={"channels": "boss"}))
    await front.scene.drain()
    assert await front.scene.lines("action_held") == [f"telling boss: {WHY}"]
    await front.scene.after(HOUR)
    assert Event.OPENED in front.scene.channels["boss"].events


async def test_the_end_of_what_people_heard_of_is_told_all_the_same(front: Front) -> None:
    await front.scene.take(alert())
    await front.scene.drain()
    await front("POST", "/maintenance", SHOP)
    await front("POST", "/incidents/1/resolve", {**ANN, "force": True})
    await front.scene.drain()
    assert front.scene.channels["team"].events == [Event.OPENED, Event.RESOLVED]


async def test_it_is_shown_with_the_incident_and_in_its_list(front: Front) -> None:
    await front("POST", "/maintenance", SHOP)
    await front.scene.take(alert())
    shown = (await front("GET", "/incidents/1")).data["maintenance"]
    assert shown == {"until": (NOON + HOUR).isoformat(), "tell": False, "reason": "we move the database"}
    (listed,) = (await front("GET", "/maintenance")).data
    assert (listed["open"], listed["created_by"], listed["ends_at"]) == (True, "ann", (NOON + HOUR).isoformat())
    front.scene.clock.advance(HOUR)
    assert (await front("GET", "/maintenance")).data == []
    assert (await front("GET", "/incidents/1")).data["maintenance"] is None


async def test_a_window_of_the_config_holds_every_time(make_scene: MakeScene) -> None:
    nightly = {"name": "the backup", "service": "shop", "at": "14:00", "lasts": "30m", "zone": "Europe/Berlin"}
    scene = make_scene(settings(maintenance=[nightly]))
    await scene.take(alert())
    await scene.drain()
    assert await scene.lines("action_held") == ["notify, investigate: held until 2026-05-01 12:30 UTC: the backup"]
    await scene.after(30 * MINUTE)
    assert scene.channels["team"].events[0] is Event.OPENED


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"lasts": None}, "give either ends_at or lasts"),
        ({"ends_at": "2026-05-01T13:00:00Z"}, "give either ends_at or lasts"),
        ({"lasts": None, "ends_at": "2026-05-01T11:00:00Z"}, "a window must end after it begins, in the future"),
        ({"lasts": "0s"}, "a window must end after it begins"),
        ({"lasts": "32d"}, "a window lasts at most 31d"),
        ({"lasts": "1 hour"}, "is not a duration"),
        ({"service": ""}, "$.service: "),
    ],
)
async def test_a_window_that_cannot_be_is_refused(front: Front, changes: dict[str, Any], fault: str) -> None:
    body = {name: value for name, value in {**SHOP, **changes}.items() if value is not None}
    answer = await front("POST", "/maintenance", body)
    assert answer.status == 400
    assert fault in answer.data


async def test_a_window_that_does_not_exist_cannot_be_ended(front: Front) -> None:
    assert (await front("POST", "/maintenance/9/end", ANN)).status == 404
