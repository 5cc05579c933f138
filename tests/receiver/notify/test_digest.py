"""Alerts that join an incident without making it worse are told together, and only what nobody has heard of."""

from __future__ import annotations

from sqlalchemy import func, select

from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, SECOND, Scene, alert, ended, settings


async def test_what_joined_is_told_once_after_five_minutes(scene: Scene) -> None:
    await scene.take(alert())
    await scene.drain()
    for number in range(9):
        await scene.after(20 * SECOND)
        await scene.take(alert("HighLatency", instance=str(number)))
    await scene.after(MINUTE)
    assert scene.channels["team"].events == [Event.OPENED]
    await scene.after(MINUTE)
    first, update = scene.channels["team"].messages
    assert update.event is Event.UPDATE
    assert "Now: since 12:00:00 UTC: HighLatency (high) joined ×9" in update.body
    assert "Alerts (10 of 10 firing):" in update.body
    assert update.standing
    assert "Alerts (10 of 10 firing):" in update.standing.body
    assert "Alerts" not in first.body
    await scene.after(HOUR)
    assert scene.channels["team"].events.count(Event.UPDATE) == 1


async def test_what_a_later_message_showed_already_is_not_told_again(scene: Scene) -> None:
    await scene.take(alert())
    await scene.drain()
    await scene.after(SECOND)
    await scene.take(alert("HighLatency"))
    await scene.after(SECOND)
    await scene.take(alert("Down", severity="critical"))
    await scene.after(SECOND)
    assert Event.WORSENED in scene.channels["team"].events
    await scene.after(10 * MINUTE)
    assert Event.UPDATE not in scene.channels["team"].events


async def test_what_joined_while_a_message_was_on_its_way_is_told(scene: Scene) -> None:
    team = scene.channels["team"]
    send = team.send

    async def slowly(message: Message, reference: str | None) -> str | None:
        team.send = send  # type: ignore[method-assign] # only the first is slow
        scene.clock.advance(SECOND)
        await scene.take(alert("HighLatency"))
        scene.clock.advance(SECOND)
        return await send(message, reference)

    team.send = slowly  # type: ignore[method-assign]
    await scene.take(alert())
    await scene.drain()
    await scene.after(5 * MINUTE)
    assert team.messages[-1].title.startswith("HighLatency (high) joined: ")


async def test_the_interval_is_configured(make_scene: MakeScene) -> None:
    scene = make_scene(settings(notify={"joined_every": "30s"}))
    await scene.take(alert())
    await scene.drain()
    for name in ("HighLatency", "Backlog"):
        await scene.after(SECOND)
        await scene.take(alert(name))
        await scene.after(31 * SECOND)
    assert scene.channels["team"].events == [Event.OPENED, Event.UPDATE, Event.UPDATE]


async def test_victims_that_join_are_told_too(make_scene: MakeScene) -> None:
    scene = make_scene(settings(dependencies={"cart": ["shop"]}))
    await scene.take(alert())
    await scene.drain()
    await scene.after(SECOND)
    await scene.take(alert("CartDown", service="cart"))
    await scene.after(5 * MINUTE)
    assert "CartDown of cart counted as a victim" in scene.channels["team"].messages[-1].body


async def test_an_incident_that_is_over_is_not_looked_at_any_more(scene: Scene) -> None:
    fired = alert()
    await scene.take(fired)
    await scene.drain()
    await scene.take(ended(fired))
    await scene.after(HOUR)
    await scene.after(HOUR)
    assert scene.channels["team"].events == [Event.OPENED, Event.RESOLVED]


async def test_who_never_heard_of_the_incident_hears_of_no_update(scene: Scene) -> None:
    await scene.take(alert(severity="low"))
    await scene.drain()
    await scene.after(SECOND)
    await scene.take(alert("Other", severity="low"))
    await scene.after(HOUR)
    assert scene.channels["team"].events == []


async def test_what_another_channel_heard_is_news_to_one_that_has_heard_nothing_since(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "boss", notify={"by_severity": {"high": ["team"], "critical": ["team"]}}))
    await scene.take(alert())
    await scene.drain()
    await scene.after(SECOND)
    await scene.take(alert("HighLatency"))
    await scene.after(SECOND)
    # The boss alone hears now, of all that fires; the team has not heard of the latency.
    await scene.take(alert("Backlog", annotations={"channels": "boss"}))
    await scene.after(10 * MINUTE)
    assert scene.channels["boss"].events == [Event.OPENED]
    assert scene.channels["team"].events == [Event.OPENED, Event.UPDATE]
    update = scene.channels["team"].messages[-1]
    assert "Now: since 12:00:00 UTC: HighLatency (high) joined; Backlog (high) joined" in update.body


async def test_a_channel_that_wants_no_updates_is_queued_one_digest_and_not_one_each_interval(scene: Scene) -> None:
    scene.channels["team"].unwanted = {Event.UPDATE}
    await scene.take(alert())
    await scene.drain()
    await scene.after(SECOND)
    await scene.take(alert("HighLatency"))
    for _ in range(4):
        await scene.after(6 * MINUTE)
    digests = select(func.count()).where(jobs.c.key.contains(":update:joined:"))
    assert await scene.context.store.read(lambda connection: connection.execute(digests).scalar()) == 1


async def test_a_channel_that_is_away_gets_no_digest_of_what_its_own_message_will_say(scene: Scene) -> None:
    team = scene.channels["team"]
    team.failures.extend(DeliveryError("down", "it is away", again=True) for _ in range(7))
    await scene.take(alert())
    await scene.drain()
    await scene.take(alert("HighLatency"))
    for _ in range(12):
        await scene.after(6 * MINUTE)
    assert team.events.count(Event.OPENED) == 1
    assert Event.UPDATE not in team.events
    assert "Alerts (2 of 2 firing):" in team.messages[0].body
