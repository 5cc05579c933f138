"""How much people hear of a critical incident that a rollback ends: one page, three posts in a thread, two mails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploywatch.fakes.inbox import Inbox, Serving, serving
from deploywatch.receiver.channels import connect_all
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.story import Event
from tests.receiver.actions.conftest import exporter, ground
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, Scene, ended, settings

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


async def test_a_rollback_that_works_is_one_page_three_posts_and_two_mails(
    ground: Ground, served: Serving, inbox: Inbox
) -> None:
    scene = await ground.scene(beside={"channels": _channels(served)})
    real = connect_all(ReceiverConfig.model_validate({"channels": _channels(served)}).channels)
    scene.context.channels = real
    await scene.take(critical())
    await _settled(scene)
    assert ground.ran == ["1.2.2 shop"]
    await scene.take(ended(critical()))
    await _settled(scene)
    await scene.after(HOUR)
    assert (await scene.incident()).resolved_at
    for channel in real.values():
        await channel.close()
    posts, pages, mails = inbox.of("slack"), inbox.of("pagerduty"), inbox.of("email")
    assert [page.title.split(":")[0] for page in pages] == ["trigger", "resolve"]
    assert len({page.thread for page in pages}) == 1
    assert len(posts) == 3
    assert {post.thread for post in posts} == {posts[0].id}
    assert "Rolled back to 1.2.2" in posts[1].title
    assert "Resolved" in posts[2].title
    assert "rollback verified" in posts[0].text or "resolved" in posts[0].text
    assert len(mails) == 2
    assert "Resolved" in mails[1].title


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
