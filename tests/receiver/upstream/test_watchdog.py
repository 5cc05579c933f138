"""A watchdog that goes silent opens an incident of its own, and ends it when it is heard again."""

from __future__ import annotations

import pytest

from deploywatch.receiver.incidents.store import Status
from deploywatch.receiver.settings.upstream import Watchdog
from deploywatch.receiver.upstream.watchdog import verdict
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import MINUTE, NOON, Scene, alert, settings

HEARD = alert("Watchdog", severity="none")


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """A receiver that expects a watchdog every 15 minutes."""
    return make_scene(settings(upstream={"watchdog": {"alert": "Watchdog", "within": "15m"}}, quiet_time="1m"))


async def _listen(scene: Scene) -> None:
    delivery = await scene.read(lambda c: verdict(c, Watchdog(), NOON, scene.clock.now))
    if delivery is not None:
        await scene.take(*delivery.alerts)


async def test_it_opens_no_incident_while_it_is_heard(scene: Scene) -> None:
    await scene.take(HEARD)
    scene.clock.advance(14 * MINUTE)
    await _listen(scene)
    assert await scene.incidents() == []


async def test_silence_opens_one_incident_that_says_when_it_was_last_heard(scene: Scene) -> None:
    await scene.take(HEARD)
    scene.clock.advance(16 * MINUTE)
    await _listen(scene)
    await _listen(scene)
    incident = await scene.incident()
    assert (incident.service, incident.severity) == ("monitoring", "critical")
    assert incident.title == "Watchdog is silent: alerts may not be arriving"


async def test_one_that_was_never_heard_is_missed_from_the_start_on(scene: Scene) -> None:
    scene.clock.advance(16 * MINUTE)
    await _listen(scene)
    assert len(await scene.incidents()) == 1


async def test_a_repetition_counts_as_heard(scene: Scene) -> None:
    for _ in range(4):
        await scene.take(HEARD)
        scene.clock.advance(10 * MINUTE)
        await _listen(scene)
    assert await scene.incidents() == []


async def test_it_ends_when_it_is_heard_again(scene: Scene) -> None:
    scene.clock.advance(16 * MINUTE)
    await _listen(scene)
    await scene.take(HEARD)
    await _listen(scene)
    await scene.after(2 * MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED
