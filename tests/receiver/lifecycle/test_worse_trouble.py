"""What belonged to a smaller trouble is never applied to a bigger one, and facts are of the worst alert that fires."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import Connection

from deploywatch.receiver.incidents import store
from deploywatch.receiver.lifecycle import response
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, ended, settings

DISK = alert("DiskFilling", severity="warning", annotations={"summary": "the disk fills in 3 days"})
DOWN = alert("CheckoutDown", severity="critical", starts=10 * MINUTE, annotations={"summary": "nobody can pay"})


async def acknowledge(scene: Scene, by: str = "ann") -> None:
    def write(connection: Connection) -> None:
        incident = store.get(connection, 1)
        response.acknowledge(connection, scene.context.settings, incident, scene.clock.now, by=by, note="")

    await scene.context.store.write(write)
    await scene.drain()


async def acknowledged_and_worse(scene: Scene) -> None:
    """A warning was acknowledged, and then a critical alert of the same service began."""
    await scene.take(DISK)
    await scene.drain()
    await acknowledge(scene)
    await scene.after(10 * MINUTE)
    await scene.take(DOWN)


async def test_worsening_voids_the_acknowledgement_and_says_so(scene: Scene) -> None:
    await acknowledged_and_worse(scene)
    incident = await scene.incident()
    assert (incident.severity, incident.acknowledged_at, incident.waits_for_somebody) == ("critical", None, True)
    (line,) = await scene.lines("worsened")
    assert line == (
        "severity raised from medium to critical by CheckoutDown; ann acknowledged the smaller trouble, so nobody has "
        "this one yet"
    )


async def test_the_deadline_of_the_worse_severity_begins_anew_and_escalates(make_scene: MakeScene) -> None:
    scene = make_scene(settings(response={"deadlines": {"critical": "15m"}}))
    await acknowledged_and_worse(scene)
    await scene.after(16 * MINUTE)
    assert Event.REMINDER in scene.channels["team"].events
    assert any("nobody acknowledged it within 15m" in line for line in await scene.lines("reminded"))


async def test_an_acknowledgement_of_the_worse_trouble_counts(scene: Scene) -> None:
    await acknowledged_and_worse(scene)
    await acknowledge(scene, by="bob")
    assert (await scene.incident()).acknowledged_by == "bob"
    assert [event for event in scene.channels["team"].events if event is Event.ACKNOWLEDGED] == [Event.ACKNOWLEDGED] * 2


async def test_an_alert_that_makes_nothing_worse_leaves_the_acknowledgement(scene: Scene) -> None:
    await scene.take(DOWN)
    await acknowledge(scene)
    await scene.take(DISK)
    assert (await scene.incident()).acknowledged_by == "ann"


async def test_the_title_is_of_the_worst_alert_that_fires(scene: Scene) -> None:
    await acknowledged_and_worse(scene)
    assert (await scene.incident()).title == "nobody can pay"
    await scene.take(ended(DOWN))
    assert (await scene.incident()).title == "the disk fills in 3 days"


async def test_the_end_bears_the_title_of_the_worst_and_what_fires_again_its_own(scene: Scene) -> None:
    await acknowledged_and_worse(scene)
    await scene.take(ended(DOWN))
    await scene.take(ended(DISK))
    assert (await scene.incident()).title == "nobody can pay"
    again = msgspec.structs.replace(DISK, starts_at=NOON + 15 * MINUTE)
    await scene.take(again)
    assert (await scene.incident()).title == "the disk fills in 3 days"
    await scene.take(ended(again))
    await scene.after(HOUR)
    resolved = scene.channels["team"].messages[-1]
    assert resolved.event is Event.RESOLVED
    assert "nobody can pay" in resolved.title
    assert "What: nobody can pay" in resolved.body


async def test_the_title_is_what_the_worst_alert_says_now(scene: Scene) -> None:
    await scene.take(DISK)
    await scene.after(5 * MINUTE)
    await scene.take(msgspec.structs.replace(DISK, annotations={"summary": "the disk fills in an hour"}))
    assert (await scene.incident()).title == "the disk fills in an hour"
    await scene.take(DOWN)
    await scene.take(msgspec.structs.replace(DISK, annotations={"summary": "the disk is full"}))
    assert (await scene.incident()).title == "nobody can pay"


async def test_messages_bear_the_title_of_the_worst_and_the_deployment_before_it(scene: Scene) -> None:
    await scene.deployed("1", ago=HOUR)
    await scene.take(DISK)
    await scene.after(9 * MINUTE)
    await scene.deployed("2", ago=MINUTE)
    await scene.after(MINUTE)
    await scene.take(DOWN)
    await scene.drain()
    worsened = next(message for message in scene.channels["team"].messages if message.event is Event.WORSENED)
    assert "nobody can pay" in worsened.title
    assert "2 (before: 1)" in worsened.body


async def test_a_wait_for_an_acknowledgement_is_of_the_severity_that_it_is_for(scene: Scene) -> None:
    timed = {"escalate_after": "5m"}
    await scene.take(alert("A", severity="high", annotations=timed))
    await scene.drain()
    await acknowledge(scene)
    await scene.after(10 * MINUTE)
    await scene.take(alert("B", severity="critical", annotations=timed, starts=10 * MINUTE))
    await scene.after(6 * MINUTE)
    assert any("nobody acknowledged it since" in line for line in await scene.lines("escalated"))


PAYMENT = alert("PaymentDown", severity="critical", starts=HOUR, annotations={"summary": "no provider answers"})


async def lingering(scene: Scene) -> None:
    """A critical alert was acknowledged and is over; the warning before it fires on."""
    await acknowledged_and_worse(scene)
    await scene.drain()
    await acknowledge(scene, by="bob")
    await scene.take(ended(DOWN))


async def test_another_critical_alert_is_a_new_trouble_though_a_warning_lingered(make_scene: MakeScene) -> None:
    strategy = {"severities": {"critical": {"immediate": ["notify", "escalate"]}}}
    scene = make_scene(settings(response={"deadlines": {"critical": "15m"}}, strategy=strategy))
    await lingering(scene)
    await scene.after(10 * MINUTE)
    told = len(scene.channels["team"].events)
    await scene.take(PAYMENT)
    await scene.drain()
    incident = await scene.incident()
    assert (incident.severity, incident.acknowledged_at, incident.title) == ("critical", None, "no provider answers")
    assert (await scene.lines("worsened"))[1:] == [
        (
            "PaymentDown is critical, and nothing as bad has fired for 5m; bob acknowledged what was before, "
            "so nobody has this yet"
        )
    ]
    assert Event.WORSENED in scene.channels["team"].events[told:]
    told = len(scene.channels["team"].events)
    await scene.after(15 * MINUTE)
    assert Event.REMINDER in scene.channels["team"].events[told:]


async def test_and_so_is_the_one_after_it(make_scene: MakeScene) -> None:
    scene = make_scene(settings())
    await lingering(scene)
    for number, name in enumerate(("PaymentDown", "SearchDown", "PaymentDown")):
        await scene.after(10 * MINUTE)
        down = alert(name, severity="critical", starts=HOUR + number * MINUTE)
        before = scene.channels["team"].events.count(Event.WORSENED)
        await scene.take(down)
        await scene.drain()
        assert scene.channels["team"].events.count(Event.WORSENED) == before + 1
        await scene.take(ended(down))


async def test_one_that_comes_shortly_after_is_the_same_trouble(scene: Scene) -> None:
    await lingering(scene)
    await scene.after(4 * MINUTE)
    await scene.take(PAYMENT)
    await scene.take(alert("SearchDown", severity="critical", starts=HOUR))
    assert (await scene.incident()).acknowledged_by == "bob"
    assert len(await scene.lines("worsened")) == 1


async def test_a_milder_one_that_cannot_wait_is_a_new_trouble_as_well(scene: Scene) -> None:
    await lingering(scene)
    await scene.after(10 * MINUTE)
    await scene.take(alert("SlowSearch", severity="high", starts=HOUR))
    incident = await scene.incident()
    assert (incident.severity, incident.acknowledged_at) == ("critical", None)


@pytest.mark.parametrize("severities", [("medium", "high"), ("high", "critical")])
async def test_what_nobody_acknowledged_is_escalated_anew_once_it_is_worse(
    make_scene: MakeScene, severities: tuple[str, str]
) -> None:
    scene = make_scene(settings(strategy={"severities": {"critical": {"immediate": ["notify"]}}}))
    timed = {"escalate_after": "5m"}
    for number, severity in enumerate(severities, start=1):
        await scene.take(alert(f"Alert{number}", severity=severity, annotations=timed, starts=number * HOUR))
        await scene.after(6 * MINUTE)
        assert scene.channels["team"].events.count(Event.ESCALATED) == number
    assert len(await scene.lines("escalated")) == 2


async def test_a_new_trouble_of_the_same_severity_waits_anew_for_an_acknowledgement(make_scene: MakeScene) -> None:
    scene = make_scene(settings(strategy={"severities": {"critical": {"immediate": ["notify"]}}}))
    timed = {"escalate_after": "5m"}
    await scene.take(DISK)
    first = alert("CheckoutDown", severity="critical", annotations=timed)
    await scene.take(first)
    await scene.drain()
    await acknowledge(scene)
    await scene.take(ended(first))
    await scene.after(HOUR)
    assert scene.channels["team"].events.count(Event.ESCALATED) == 0
    await scene.take(alert("PaymentDown", severity="critical", annotations=timed, starts=HOUR))
    await scene.after(6 * MINUTE)
    assert scene.channels["team"].events.count(Event.ESCALATED) == 1
