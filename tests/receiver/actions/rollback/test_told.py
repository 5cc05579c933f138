"""What people are told of a rollback: environment, from and to, reason, status, times (source 001, B7; 004, W8)."""

from __future__ import annotations

from deploywatch.receiver.messages import Message
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended


def told(scene: Scene, event: Event) -> Message:
    """The last message about this event."""
    return [message for message in scene.channels["team"].messages if message.event is event][-1]


async def test_the_start_says_where_from_what_to_what_why_and_how(ground: Ground) -> None:
    scene = await ground.scene(decide={"issues": 1, "confidence": 0.3})
    await scene.take(critical())
    await scene.drain()
    message = told(scene, Event.ROLLBACK_STARTED)
    assert "1.2.2" in message.title
    for fact in ("shop in production", "1.2.3 → 1.2.2", "1 of 1 issues needed (HighErrorRate)", "12:00:00 UTC"):
        assert fact in message.body.replace("2026-05-01 ", "")


async def test_the_end_says_how_it_went_and_how_long_it_took(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    body = told(scene, Event.ROLLBACK_SUCCEEDED).body
    assert "1.2.3 → 1.2.2" in body
    assert "rolled back in 10s, done at 2026-05-01 12:00:10 UTC" in body


async def test_the_second_time_people_hear_how_long_it_takes(ground: Ground) -> None:
    ground.exporter.answers = [{"status": "healthy"}]
    scene = await ground.scene(cooldown="1m")
    await scene.take(critical())
    await scene.take(ended(critical()))
    await scene.take(alert("A", severity="critical", action="rollback"))
    await scene.drain()
    assert len(await scene.rollbacks()) == 1
    await scene.take(ended(alert("A", severity="critical", action="rollback")))
    await scene.after(HOUR)
    await scene.deployed("1.2.4", ago=MINUTE)
    await scene.take(alert("B", severity="critical", action="rollback", starts=2 * HOUR))
    await scene.drain()
    assert len(await scene.rollbacks()) == 2
    assert "Expected: done in about 10s" in told(scene, Event.ROLLBACK_STARTED).body
