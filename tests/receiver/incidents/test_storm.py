"""Storms are bundled: 500 alerts of one service are one incident and a handful of messages, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from deploywatch.fakes.inbox import Inbox, Serving, serving
from deploywatch.fakes.store import Received
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.channels import connect
from deploywatch.receiver.channels.slack.channel import SlackChannel
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.lifecycle.resolution import postmortem
from deploywatch.receiver.messages import Channel
from deploywatch.receiver.settings.channels import ChannelSettings
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, SECOND, Scene, alert, ended

ALERTS, WEBHOOKS, EVERY = 500, 50, timedelta(seconds=12)
SEVERITIES = ("low", "medium", "high", "critical")
HANDFUL = 8


def _config(served: Serving) -> ReceiverConfig:
    secret = "of-no-importance-here"
    return ReceiverConfig.model_validate(
        {
            "channels": {
                "slack": {"kind": "slack", "token": "xoxb-1", "channel": "#x", "base_url": served.slack_url},
                "pagerduty": {"kind": "pagerduty", "routing_key": "0" * 32, "url": served.url},
                "mail": {
                    "kind": "email",
                    "smtp": served.smtp,
                    "security": "none",
                    "sender": "deploywatch@example.com",
                    "recipients": ["on-call@example.com"],
                },
                "webhook": {"kind": "webhook", "url": served.webhook_url, "secret": secret},
            },
        }
    )


def _connect(scene: Scene, name: str, settings: ChannelSettings) -> Channel:
    """The channel; Slack's pace is that of the scene's clock."""
    if isinstance(settings, SlackSettings):
        return SlackChannel(name, settings, clock=lambda: scene.clock().timestamp(), sleep=scene.clock.sleep)
    return connect(name, settings)


def _storm() -> list[Alert]:
    """The milder first, as a fault that spreads; some names often."""
    return [
        alert(
            f"Alert{number % 25}",
            severity=SEVERITIES[number * len(SEVERITIES) // ALERTS],
            instance=f"shop-{number}",
            starts=number // (ALERTS // WEBHOOKS) * EVERY,
            annotations={"summary": f"instance {number} is unwell"},
        )
        for number in range(ALERTS)
    ]


async def _blow(scene: Scene, storm: list[Alert]) -> None:
    """Deliver it over ten minutes."""
    size = ALERTS // WEBHOOKS
    for first in range(0, ALERTS, size):
        await scene.take(*storm[first : first + size])
        await scene.drain()
        await scene.after(EVERY)


async def _settle(scene: Scene) -> None:
    """Until what Slack's pace sent back is delivered."""
    for _ in range(20):
        await scene.after(SECOND)


async def test_500_alerts_of_a_service_are_one_incident_and_a_handful_of_messages(make_scene: MakeScene) -> None:
    inbox = Inbox()
    async with serving(inbox, smtp=("127.0.0.1", 0)) as served:
        config = _config(served)
        scene = make_scene(config)
        scene.context.channels = {name: _connect(scene, name, one) for name, one in config.channels.items()}
        storm = _storm()
        await _blow(scene, storm)
        await scene.after(5 * MINUTE)
        await _settle(scene)
        heard = Counter(message.channel for message in inbox.received)
        assert set(heard) == {"slack", "pagerduty", "email", "webhook"}
        assert max(heard.values()) <= HANDFUL, heard
        updated = [message for message in inbox.of("slack") if message.updated_at]
        await _nothing_is_lost(scene, inbox, updated)
        await scene.take(*map(ended, storm))
        await scene.after(HOUR)
        await _settle(scene)
        assert (await scene.incident()).status is Status.RESOLVED
        for channel in scene.context.channels.values():
            await channel.close()
    assert [message.raw["event"] for message in inbox.of("webhook")].count(Event.RESOLVED) == 1


async def _nothing_is_lost(scene: Scene, inbox: Inbox, updated: list[Received]) -> None:
    """Every alert is in the incident, its joining in the timeline, and people know of all in the end."""
    incident = await scene.incident()
    assert incident.severity == "critical"
    alerts = await scene.read(lambda c: alert_views.views(c, incident.id))
    assert len(alerts) == ALERTS
    assert f"Alerts ({ALERTS} of {ALERTS} firing):" in inbox.of("webhook")[-1].text
    assert f"Alerts ({ALERTS} of {ALERTS} firing):" in inbox.of("email")[-1].text
    assert [f"Alerts ({ALERTS} of {ALERTS} firing):" in one.text for one in updated] == [True]
    assert len({message.thread for message in inbox.of("slack")}) == 1
    # Each time it became worse, the smaller trouble ended there and the bigger one paged anew.
    last = {received.thread: received.raw for received in inbox.of("pagerduty")}
    open_there = [raw["payload"]["severity"] for raw in last.values() if raw["event_action"] == "trigger"]
    assert open_there == ["critical"]
    draft = await scene.read(lambda c: postmortem(c, scene.context, incident.id))
    assert all(f"Alert{number}" in draft for number in range(25))
