"""What a person promised of the next status update counts, for the trouble that it was said of."""

from __future__ import annotations

from typing import Any

from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.front import front_of
from tests.receiver.scene import MINUTE, Scene, alert, settings

ANN = {"by": "ann"}


def made(make_scene: MakeScene, *channels: str, **more: Any) -> Scene:
    """Updates of what is high are due each 5 minutes, of what is critical each 2."""
    return make_scene(settings(*channels, response={"updates": {"high": "5m", "critical": "2m"}}, **more))


async def test_nobody_is_reminded_before_the_promised_time_and_then_they_are(make_scene: MakeScene) -> None:
    async with front_of(made(make_scene)) as front:
        await front.scene.take(alert())
        await front("POST", "/incidents/1/acknowledge", ANN)
        await front("POST", "/incidents/1/update", {**ANN, "note": "restoring", "next_in": "20m"})
        await front.scene.after(19 * MINUTE)
        assert await front.scene.lines("reminded") == []
        await front.scene.after(MINUTE)
        (line,) = await front.scene.lines("reminded")
        assert line.endswith("a status update was promised for 12:20 UTC")


async def test_an_earlier_promise_is_reminded_of_earlier_and_the_next_update_ends_it(make_scene: MakeScene) -> None:
    async with front_of(made(make_scene)) as front:
        await front.scene.take(alert())
        await front("POST", "/incidents/1/acknowledge", ANN)
        await front("POST", "/incidents/1/update", {**ANN, "note": "restoring", "next_in": "2m"})
        await front.scene.after(2 * MINUTE)
        assert len(await front.scene.lines("reminded")) == 1
        await front("POST", "/incidents/1/update", {**ANN, "note": "done"})
        await front.scene.after(4 * MINUTE)
        assert len(await front.scene.lines("reminded")) == 1


async def test_a_promise_about_a_smaller_trouble_does_not_hold_for_a_bigger_one(make_scene: MakeScene) -> None:
    async with front_of(made(make_scene)) as front:
        await front.scene.take(alert())
        await front("POST", "/incidents/1/acknowledge", ANN)
        await front("POST", "/incidents/1/update", {**ANN, "note": "it fills slowly", "next_in": "60m"})
        await front.scene.take(alert("CheckoutDown", severity="critical"))
        await front("POST", "/incidents/1/acknowledge", ANN)
        await front.scene.after(3 * MINUTE)
        (line,) = await front.scene.lines("reminded")
        assert line.endswith("a status update was due at 12:02 UTC")


async def test_who_is_on_it_hears_first_that_an_update_is_late(make_scene: MakeScene) -> None:
    oncall = {"people": {"ann": {"channels": ["ann"]}}, "management": ["ann"]}
    by_severity = {"high": ["team"], "critical": ["team"]}
    async with front_of(made(make_scene, "team", "ann", oncall=oncall, notify={"by_severity": by_severity})) as front:
        await front.scene.take(alert())
        await front("POST", "/incidents/1/acknowledge", ANN)
        await front("POST", "/incidents/1/update", {**ANN, "note": "restoring", "next_in": "20m"})
        await front.scene.after(20 * MINUTE)
        assert await front.scene.lines("reminded") == ["reminded ann: a status update was promised for 12:20 UTC"]
        assert Event.REMINDER not in front.scene.channels["team"].events
        await front.scene.after(2.5 * MINUTE)
        assert front.scene.channels["team"].events.count(Event.REMINDER) == 1
        assert front.scene.channels["ann"].events.count(Event.REMINDER) == 2


async def test_who_answers_in_time_spares_the_others(make_scene: MakeScene) -> None:
    oncall = {"people": {"ann": {"channels": ["ann"]}}}
    async with front_of(
        made(make_scene, "team", "ann", oncall=oncall, notify={"by_severity": {"high": ["team"]}})
    ) as front:
        await front.scene.take(alert())
        await front("POST", "/incidents/1/acknowledge", ANN)
        await front.scene.after(5 * MINUTE)
        assert len(await front.scene.lines("reminded")) == 1
        await front("POST", "/incidents/1/update", {**ANN, "note": "the cache is being filled"})
        await front.scene.after(4 * MINUTE)
        assert Event.REMINDER not in front.scene.channels["team"].events
        await front.scene.after(MINUTE)
        assert (await front.scene.lines("reminded"))[1:] == ["reminded ann: a status update was due at 12:10 UTC"]
