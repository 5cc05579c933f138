"""A watchdog that goes silent opens an incident of its own, and ends it when it is heard again."""

from __future__ import annotations

import pytest

from deploywatch.receiver.alert import labelled
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.story import Event
from deploywatch.receiver.upstream.alertmanager import Seen
from deploywatch.receiver.upstream.reconcile import Reconciler
from deploywatch.receiver.upstream.watchdog import verdict
from tests.receiver.conftest import MakeScene
from tests.receiver.front import front_of
from tests.receiver.scene import MINUTE, NOON, SECOND, Scene, alert, ended, settings

HEARD = alert("Watchdog", severity="none")


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """A receiver that expects a watchdog every 15 minutes."""
    return make_scene(settings(upstream={"watchdog": {"alert": "Watchdog", "within": "15m"}}, quiet_time="1m"))


async def _listen(scene: Scene) -> None:
    delivery = await scene.read(lambda c: verdict(c, scene.context.settings.upstream, NOON, scene.clock.now))
    if delivery is not None:
        await scene.take(*delivery.alerts)


async def test_it_opens_no_incident_while_it_is_heard(scene: Scene) -> None:
    await scene.take(HEARD)
    scene.clock.advance(14 * MINUTE)
    await _listen(scene)
    assert await scene.incidents() == []


async def test_a_receiver_that_listens_to_none_opens_no_incident_of_it_either(make_scene: MakeScene) -> None:
    """Every build of rules has a watchdog, and routes it here."""
    scene = make_scene(settings())
    await scene.take(HEARD)
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


async def test_that_it_has_resolved_is_no_sign_of_life(scene: Scene) -> None:
    await scene.take(HEARD)
    scene.clock.advance(14 * MINUTE)
    await scene.take(ended(HEARD))  # it timed out in Alertmanager: Prometheus evaluates nothing
    scene.clock.advance(2 * MINUTE)
    await _listen(scene)
    assert len(await scene.incidents()) == 1


STAGING = {"environment": "staging"}


async def test_the_watchdog_of_one_source_does_not_stand_in_for_anothers(make_scene: MakeScene) -> None:
    alertmanagers = [{"url": "http://one"}, {"url": "http://two", "labels": STAGING}]
    scene = make_scene(settings(upstream={"alertmanagers": alertmanagers, "watchdog": {}}))
    await scene.take(HEARD, labelled(HEARD, STAGING))
    for _ in range(2):
        scene.clock.advance(10 * MINUTE)
        await scene.take(labelled(HEARD, STAGING))
        await _listen(scene)
    (incident,) = await scene.incidents()
    assert incident.title == "Watchdog is silent: alerts may not be arriving"
    scene.clock.advance(20 * MINUTE)
    await scene.take(HEARD)
    await _listen(scene)
    assert await scene.lines("joined") == ["WatchdogSilent (critical) joined"]
    assert (await scene.incident()).title == "Watchdog of environment=staging is silent: alerts may not be arriving"


async def test_that_alertmanager_lists_it_is_no_sign_that_alerts_arrive(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(settings(upstream={"alertmanagers": ["http://one"], "watchdog": {}}))

    async def look(*_: object) -> Seen:
        return Seen((HEARD, alert("ServiceDown")), NOON)

    monkeypatch.setattr("deploywatch.receiver.upstream.reconcile.look", look)
    scene.clock.advance(20 * MINUTE)
    healing = await Reconciler(scene.context).round()
    assert healing
    assert [alert.name for alert in healing.alerts] == ["ServiceDown"]


async def test_nothing_resolves_by_itself_while_the_watchdog_is_silent(scene: Scene) -> None:
    fires = alert("CheckoutDown", severity="critical")
    await scene.take(HEARD, fires)
    await scene.take(ended(fires), ended(HEARD))  # both timed out, as Prometheus pauses
    await scene.after(10 * MINUTE)
    await scene.after(10 * MINUTE)
    assert Event.RESOLVED not in scene.channels["team"].events
    assert await scene.lines("resolve_waits") == [
        (
            "Watchdog is silent, so nobody can tell whether it is over; "
            "it resolves once the watchdog is heard again, if it stays quiet"
        )
    ]
    await scene.take(HEARD, fires)  # Prometheus goes on, and so does the alert
    await scene.after(10 * MINUTE)
    assert (await scene.incident()).status is Status.OPEN
    assert Event.RESOLVED not in scene.channels["team"].events


async def test_what_was_over_resolves_after_the_quiet_time_once_the_watchdog_is_heard_again(scene: Scene) -> None:
    fires = alert()
    await scene.take(HEARD, fires)
    await scene.take(ended(fires), ended(HEARD))
    await scene.after(10 * MINUTE)
    await scene.take(HEARD)
    await scene.after(59 * SECOND)
    assert (await scene.incident()).resolved_at is None
    await scene.after(MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_a_person_may_end_an_incident_while_the_watchdog_is_silent(scene: Scene) -> None:
    fires = alert()
    async with front_of(scene) as front:
        await scene.take(HEARD, fires)
        await scene.take(ended(fires), ended(HEARD))
        await scene.after(10 * MINUTE)
        await front("POST", "/incidents/1/resolve", {"by": "ann"})
    assert (await scene.incident()).status is Status.RESOLVED
