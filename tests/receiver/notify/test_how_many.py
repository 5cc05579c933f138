"""How much people hear of a critical incident that a rollback ends: one page, three posts in a thread, two mails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from deploywatch.fakes.inbox import Inbox, Serving, serving
from deploywatch.fakes.store import Received
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.channels import connect_all
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.story import Event
from tests.receiver.actions.conftest import exporter, ground
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, SECOND, Scene, alert, ended, settings

__all__ = ["exporter", "ground"]


@pytest.fixture
def inbox() -> Inbox:
    """What people got."""
    return Inbox()


@pytest.fixture
async def served(inbox: Inbox) -> AsyncIterator[Serving]:
    """Slack, PagerDuty and a mail server."""
    async with serving(inbox, smtp=("127.0.0.1", 0)) as running:
        yield running


def _channels(served: Serving) -> dict[str, Any]:
    mail = {"kind": "email", "smtp": served.smtp, "security": "none", "sender": "a@b.example"}
    return {
        "slack": {"kind": "slack", "token": "xoxb-1", "channel": "C0123456789", "base_url": served.slack_url},
        "pager": {"kind": "pagerduty", "routing_key": "R" * 32, "url": served.url},
        "mail": {**mail, "recipients": ["ops@example.com"]},
    }


@dataclass(frozen=True)
class Heard:
    """What people got from opening to resolve."""

    posts: list[Received]
    pages: list[Received]
    mails: list[Received]

    @property
    def called(self) -> list[str]:
        """What was done to PagerDuty's alerts, in order."""
        return [page.title.split(":")[0] for page in self.pages]


async def _heard(ground: Ground, served: Serving, inbox: Inbox, *webhooks: tuple[Alert, ...], **beside: Any) -> Heard:
    """Let these webhooks come a moment apart, with a rollback that works; then every alert ends."""
    channels = _channels(served)
    scene = await ground.scene(beside={"channels": channels, **beside})
    real = connect_all(ReceiverConfig.model_validate({"channels": channels}).channels)
    scene.context.channels = real
    for alerts in webhooks:
        await scene.take(*alerts)
        await _settled(scene)
        scene.clock.advance(SECOND)
    assert ground.ran == ["1.2.2 shop"]
    last = {alert.fingerprint: alert for alerts in webhooks for alert in alerts}
    await scene.take(*(ended(one) for one in last.values()))
    await _settled(scene)
    await scene.after(HOUR)
    assert (await scene.incident()).resolved_at
    for channel in real.values():
        await channel.close()
    return Heard(inbox.of("slack"), inbox.of("pagerduty"), inbox.of("email"))


STEPS = {"critical": [{"after": "5m", "channels": ["pager"]}, {"after": "20m", "channels": ["pager", "mail"]}]}
WORST = critical()


@pytest.mark.parametrize(
    ("webhooks", "beside"),
    [
        ([(WORST,)], {}),
        ([(WORST,)], {"escalation": {"channels": ["pager"], "steps": STEPS}}),
        ([(WORST, alert("HighLatency", severity="critical"))], {}),
        ([(WORST,), (alert("HighLatency", severity="high"),)], {}),
        ([(WORST,), (ended(WORST),), (alert(severity="critical", starts=2 * SECOND),)], {}),
    ],
    ids=["alone", "with escalation", "two at once", "one more joins", "it flaps"],
)
async def test_a_rollback_that_works_is_one_page_three_posts_and_two_mails(
    ground: Ground, served: Serving, inbox: Inbox, webhooks: list[tuple[Alert, ...]], beside: dict[str, Any]
) -> None:
    heard = await _heard(ground, served, inbox, *webhooks, **beside)
    assert heard.called == ["trigger", "resolve"]
    assert len({page.thread for page in heard.pages}) == 1
    assert len(heard.posts) == 3, [post.title for post in heard.posts]
    assert {post.thread for post in heard.posts} == {heard.posts[0].id}
    assert "Rolled back to 1.2.2" in heard.posts[1].title
    assert "Resolved" in heard.posts[2].title
    assert "rollback verified" in heard.posts[0].text or "resolved" in heard.posts[0].text
    assert len(heard.mails) == 2, [mail.title for mail in heard.mails]
    assert "Resolved" in heard.mails[1].title


async def test_a_warning_that_worsens_is_one_more_post_and_mail_and_pages_for_the_bigger_trouble(
    ground: Ground, served: Serving, inbox: Inbox
) -> None:
    heard = await _heard(ground, served, inbox, (alert("DiskFilling", severity="medium"),), (WORST,))
    # PagerDuty has the smaller trouble as a warning of its own, which gives way to the bigger one.
    assert sorted(heard.called) == ["resolve", "resolve", "trigger", "trigger"]
    small, big = (page.thread for page in heard.pages if page.title.startswith("trigger"))
    ends = [page.thread for page in heard.pages if page.title.startswith("resolve")]
    assert (small != big, ends) == (True, [small, big])
    assert len(heard.posts) == 4, [post.title for post in heard.posts]
    assert len(heard.mails) == 3, [mail.title for mail in heard.mails]


async def _settled(scene: Scene) -> None:
    for _ in range(3):
        await scene.drain()


async def test_who_was_told_of_the_opening_is_not_called_again_at_once(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack", "boss", notify={"by_severity": {"critical": ["slack"]}}))
    await scene.take(critical())
    await scene.drain()
    assert Event.ESCALATED not in scene.channels["slack"].events
    assert scene.channels["boss"].events[0] == Event.ESCALATED


async def test_who_could_not_be_told_of_the_opening_is_called(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack"))
    scene.channels["slack"].failures.append(DeliveryError("rejected", "no", again=False))
    await scene.take(critical())
    await scene.drain()
    assert scene.channels["slack"].events[0] == Event.ESCALATED
