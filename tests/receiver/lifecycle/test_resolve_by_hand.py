"""A person ends an incident while its alerts fire: they are told so, and what fires on begins another."""

from __future__ import annotations

from deploywatch.receiver.incidents.incident import Status
from tests.receiver.front import front_of
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended

RESOLVE = "/incidents/1/resolve"


async def test_while_alerts_fire_it_is_refused_with_their_names_and_what_to_do(scene: Scene) -> None:
    await scene.take(alert(), alert("HighLatency"))
    async with front_of(scene) as front:
        answer = await front("POST", RESOLVE, {"by": "ann"})
        assert answer.status == 409
        assert answer.data == (
            "incident 1 is not resolved: HighErrorRate, HighLatency still fire; write for how long that may be "
            "(hold: 30m), or force it\n"
        )
    assert (await scene.incident()).status is Status.OPEN


async def test_when_they_are_quiet_it_needs_no_force(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(ended(alert()))
    async with front_of(scene) as front:
        assert (await front("POST", RESOLVE, {"by": "ann"})).status == 200


async def test_what_fires_on_after_the_time_that_was_said_begins_another_incident(scene: Scene) -> None:
    await scene.take(alert())
    async with front_of(scene) as front:
        assert (await front("POST", RESOLVE, {"by": "ann", "hold": "30m"})).status == 200
    await scene.after(29 * MINUTE)
    assert [incident.status for incident in await scene.incidents()] == [Status.RESOLVED]
    await scene.after(MINUTE)
    assert [incident.status for incident in await scene.incidents()] == [Status.RESOLVED, Status.OPEN]
    assert scene.channels["team"].messages[-1].incident.id == 2
    await scene.take(ended(alert()))
    await scene.after(HOUR)
    assert [incident.status for incident in await scene.incidents()] == [Status.RESOLVED, Status.RESOLVED]


async def test_what_ended_meanwhile_begins_nothing(scene: Scene) -> None:
    await scene.take(alert())
    async with front_of(scene) as front:
        assert (await front("POST", RESOLVE, {"by": "ann", "force": True})).status == 200
    await scene.take(ended(alert()))
    await scene.after(2 * HOUR)
    assert len(await scene.incidents()) == 1


async def test_what_is_worse_and_begins_within_that_time_is_told_at_once(scene: Scene) -> None:
    await scene.take(alert("DiskFilling", severity="medium"))
    await scene.drain()
    async with front_of(scene) as front:
        assert (await front("POST", RESOLVE, {"by": "ann", "hold": "30m"})).status == 200
    await scene.after(MINUTE)
    await scene.take(alert("CheckoutDown", severity="critical", starts=MINUTE))
    await scene.drain()
    assert [incident.severity for incident in await scene.incidents()] == ["medium", "critical"]
    assert (scene.channels["team"].messages[-1].event, scene.channels["team"].messages[-1].incident.id) == ("opened", 2)
