"""Trouble outside: a clock that jumps, Slack that takes nothing for ten minutes, mail that hangs. Nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from deploywatch.fakes.inbox import Answer, Inbox, Reply, serving
from deploywatch.receiver.channels.email.channel import EmailChannel
from deploywatch.receiver.channels.slack.channel import SlackChannel
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.channels.email import EmailSettings
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, SECOND, alert, ended, settings, until


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_clock_that_jumps_an_hour_loses_nothing_and_keeps_nobody_else_waiting(
    make_scene: MakeScene, jump: timedelta
) -> None:
    scene = make_scene(settings("team"))
    team = scene.channels["team"]
    team.failures.append(DeliveryError("server", "HTTP 500", again=True))
    await scene.take(alert())
    await scene.drain()
    assert team.events == []
    scene.clock.advance(jump)
    await scene.take(alert(service="search"))
    await scene.drain()
    assert "search" in {message.incident.service for message in team.messages}
    await scene.after(2 * HOUR)
    opened = Counter(message.incident.service for message in team.messages if message.event is Event.OPENED)
    assert opened == {"shop": 1, "search": 1}


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_an_incident_that_is_quiet_while_the_clock_jumps_is_resolved_once(
    make_scene: MakeScene, jump: timedelta
) -> None:
    scene = make_scene(settings("team"))
    await scene.take(alert())
    await scene.take(ended(alert()))
    scene.clock.advance(jump)
    await scene.drain()
    await scene.after(2 * HOUR)
    assert (await scene.incident()).status is Status.RESOLVED
    assert Counter(scene.channels["team"].events)[Event.RESOLVED] == 1


async def test_slack_at_429_for_ten_minutes_delays_only_slack_and_everything_arrives_afterwards(
    make_scene: MakeScene,
) -> None:
    inbox, limited = Inbox(), Answer(429, {"ok": False}, {"Retry-After": "30"})
    scene = make_scene(settings("slack", "team"))
    async with serving(inbox) as served:
        given = {"kind": "slack", "token": "xoxb-1", "channel": "#x", "base_url": served.slack_url}
        slack = SlackChannel(
            "slack",
            SlackSettings.model_validate(given),
            clock=lambda: scene.clock().timestamp(),
            sleep=scene.clock.sleep,
        )
        scene.context.channels = {**scene.channels, "slack": slack}
        inbox.script("slack", *[limited] * 1000)
        for number in range(20):
            await scene.take(alert(service=f"s{number}"))
        end = scene.clock() + 10 * MINUTE
        while scene.clock() < end:
            await scene.after(30 * SECOND)
        told = {message.incident.service for message in scene.channels["team"].messages}
        assert told == {f"s{number}" for number in range(20)}
        assert inbox.of("slack") == []
        while inbox.next_answer("slack"):
            continue  # from here on it answers as usual
        for _ in range(60):
            await scene.after(MINUTE)
        await slack.close()
    begun = [message.thread for message in inbox.of("slack") if message.thread == message.id]
    assert len(begun) == 20


async def test_mail_that_hangs_delays_only_mail_and_arrives_afterwards(make_scene: MakeScene) -> None:
    inbox = Inbox()
    scene = make_scene(settings("mail", "team"))
    async with serving(inbox, smtp=("127.0.0.1", 0)) as served:
        given = {"kind": "email", "smtp": served.smtp, "security": "none", "timeout": "2s"}
        people = {"sender": "deploywatch@example.com", "recipients": ["ops@example.com"]}
        mail = EmailChannel("mail", EmailSettings.model_validate(given | people))
        scene.context.channels = {**scene.channels, "mail": mail}
        inbox.script_mail(Reply("MAIL", wait=True))
        await scene.take(alert())
        working = asyncio.create_task(scene.worker.run())
        await until(lambda: scene.channels["team"].events == [Event.OPENED])
        assert inbox.of("email") == []
        await scene.worker.stop(60)
        await working
        for _ in range(5):  # on a slow machine the two seconds may not be enough once more
            await scene.after(MINUTE)
        assert len(inbox.of("email")) == 1
        await mail.close()
