"""What belonged to a smaller trouble is never applied to a bigger one, and facts are of the worst alert that fires."""

from __future__ import annotations

from sqlalchemy import Connection

from deploywatch.receiver.incidents import store
from deploywatch.receiver.lifecycle import response
from deploywatch.receiver.messages import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended, settings

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
