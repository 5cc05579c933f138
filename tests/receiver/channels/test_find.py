"""After a sending that was cut off: each channel says whether the message arrived, or that it cannot tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deploywatch.fakes.inbox import Answer, Inbox, Serving
from deploywatch.receiver.channels import connect
from deploywatch.receiver.channels.slack import search as slack_search
from deploywatch.receiver.channels.slack.channel import SlackChannel
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.settings.channels.email import EmailSettings
from deploywatch.receiver.settings.channels.pagerduty import PagerDutySettings
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.receiver.story import Event
from tests.receiver.channels.conftest import ROUTING_KEY, SLACK_TOKEN, WEBHOOK_SECRET
from tests.receiver.channels.stories import message

CHANNEL = "C0123456789"


def told(event: Event = Event.OPENED, name: str = "one") -> Message:
    """A message of now, as the stand-in's clock is the real one."""
    return replace(message(event), at=datetime.now(UTC), id=name)


class Slack:
    """A channel in which a message costs no second."""

    def __init__(self, served: Serving) -> None:
        self._served = served
        self._now = 0.0
        self.channel = self.of(CHANNEL)

    def of(self, channel: str) -> SlackChannel:
        """One that posts to this channel of Slack's."""
        plain = {"kind": "slack", "token": SLACK_TOKEN, "channel": channel, "base_url": self._served.slack_url}
        return SlackChannel("team", SlackSettings.model_validate(plain), clock=lambda: self._now, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture
async def slack(served: Serving) -> AsyncIterator[Slack]:
    made = Slack(served)
    yield made
    await made.channel.close()


async def test_slack_finds_the_first_message_in_the_channel_and_says_what_sending_had_said(slack: Slack) -> None:
    reference = await slack.channel.send(told(name="one"), None)
    assert await slack.channel.find(told(name="one"), None) == reference
    assert await slack.channel.find(told(name="another"), None) is None


async def test_slack_finds_a_later_message_in_its_thread_and_says_the_thread(slack: Slack) -> None:
    thread = await slack.channel.send(told(name="one"), None)
    await slack.channel.send(told(Event.ROLLBACK_SUCCEEDED, name="two"), thread)
    assert await slack.channel.find(told(Event.ROLLBACK_SUCCEEDED, name="two"), thread) == thread
    assert await slack.channel.find(told(Event.ROLLBACK_SUCCEEDED, name="three"), thread) is None


async def test_a_first_message_that_was_changed_meanwhile_is_found_all_the_same(slack: Slack, inbox: Inbox) -> None:
    thread = await slack.channel.send(told(name="one"), None)
    await slack.channel.send(told(Event.ACKNOWLEDGED, name="two"), thread)
    assert inbox.of("slack")[0].updated_at
    assert await slack.channel.find(told(name="one"), None) == thread


async def test_a_message_whose_thread_is_gone_is_looked_for_in_the_channel(slack: Slack) -> None:
    anew = await slack.channel.send(told(Event.ESCALATED, name="one"), None)
    assert await slack.channel.find(told(Event.ESCALATED, name="one"), f"{CHANNEL}/1.000001") == anew


async def test_a_thread_is_known_by_its_channels_id_whatever_the_settings_call_it(slack: Slack) -> None:
    thread = await slack.channel.send(told(name="one"), None)
    named = slack.of("#ops")
    assert await named.find(told(name="one"), thread) == thread
    await named.close()


async def test_a_channel_by_name_cannot_be_looked_into(slack: Slack) -> None:
    named = slack.of("#ops")
    with pytest.raises(DeliveryError, match="by its ID only") as raised:
        await named.find(told(), None)
    await named.close()
    assert (raised.value.reason, raised.value.again) == ("unknowable", False)


async def test_page_after_page_is_looked_through(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_search, "PAGE_SIZE", 2)
    for number in range(5):
        await slack.channel.send(told(name=str(number)), None)
    assert await slack.channel.find(told(name="0"), None) is not None
    assert await slack.channel.find(told(name="none"), None) is None


async def test_more_pages_than_are_looked_through_are_no_proof(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_search, "PAGE_SIZE", 1)
    for number in range(slack_search.PAGES + 1):
        await slack.channel.send(told(name=str(number)), None)
    with pytest.raises(DeliveryError, match="too much was said") as raised:
        await slack.channel.find(told(name="none"), None)
    assert not raised.value.again


async def test_what_was_said_long_before_is_not_looked_at(slack: Slack) -> None:
    await slack.channel.send(told(name="one"), None)
    later = replace(told(name="one"), at=datetime.now(UTC) + timedelta(hours=1))
    assert await slack.channel.find(later, None) is None


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        (
            {"ok": False, "error": "missing_scope", "needed": "channels:history", "provided": "chat:write"},
            False,
        ),
        ({"ok": False, "error": "not_in_channel"}, False),
        ({"ok": False, "error": "internal_error"}, True),
        ({"ok": False, "error": "ratelimited"}, True),
    ],
)
async def test_without_a_scope_nothing_is_known_and_trouble_may_pass(
    slack: Slack, inbox: Inbox, answer: dict[str, object], again: bool
) -> None:
    inbox.script("slack", Answer(body=answer))
    with pytest.raises(DeliveryError) as raised:
        await slack.channel.find(told(), None)
    assert raised.value.again is again


async def test_pagerduty_takes_a_repetition_for_the_same(served: Serving) -> None:
    settings = PagerDutySettings.model_validate({"kind": "pagerduty", "routing_key": ROUTING_KEY, "url": served.url})
    channel = connect("pager", settings)
    await channel.send(told(), None)
    assert await channel.find(told(), None) is None
    await channel.close()


async def test_nobody_can_ask_a_webhook_or_a_mail_server_and_a_repetition_bears_the_same_name(
    served: Serving, inbox: Inbox
) -> None:
    hook = {"kind": "webhook", "url": served.webhook_url, "secret": WEBHOOK_SECRET}
    mail = {
        "kind": "email",
        "smtp": served.smtp,
        "security": "none",
        "sender": "a@b.example",
        "recipients": ["c@d.example"],
    }
    for settings in (WebhookSettings.model_validate(hook), EmailSettings.model_validate(mail)):
        channel = connect("tools", settings)
        with pytest.raises(DeliveryError, match="cannot be asked") as raised:
            await channel.find(told(), None)
        assert (raised.value.reason, raised.value.again) == ("unknowable", False)
        first = told(name="one")
        for one in (first, replace(first, title="by now it is called something else")):
            await channel.send(one, None)
        await channel.close()
    assert [message.raw["id"] for message in inbox.of("webhook")] == ["one", "one"]
    assert [message.raw["headers"]["Message-ID"] for message in inbox.of("email")] == ["<one@b.example>"] * 2
