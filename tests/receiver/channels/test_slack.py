"""Slack: threads, escaping, limits, and what each refusal means; by slack-sdk against the inbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from deploywatch.demo.inbox import Answer, Inbox, Serving
from receiver.channels import slack
from receiver.channels.slack import SlackChannel, SlackSettings
from receiver.messages import DeliveryError, Event
from tests.receiver.channels.conftest import SLACK_TOKEN
from tests.receiver.channels.stories import AWKWARD, TEMPLATES, message, same_as_golden

GOLDEN = Path(__file__).parent / "golden" / "slack"


def _settings(served: Serving, **changes: object) -> SlackSettings:
    plain = {"kind": "slack", "token": SLACK_TOKEN, "channel": "#ops", "base_url": served.slack_url, "timeout": "10s"}
    return SlackSettings.model_validate(plain | changes)


@pytest.fixture
async def channel(served: Serving) -> AsyncIterator[SlackChannel]:
    made = SlackChannel("team", _settings(served))
    yield made
    await made.close()


@pytest.mark.parametrize("event", Event)
def test_each_event_reads_as_committed(event: Event) -> None:
    same_as_golden(GOLDEN / f"{event}.txt", slack.text(message(event)) + "\n")


async def test_the_first_message_begins_the_thread_and_the_next_go_into_it(channel: SlackChannel, inbox: Inbox) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    assert await channel.send(message(Event.ESCALATED), reference) == reference
    assert await channel.send(message(Event.RESOLVED), reference) == reference
    opened, escalated, resolved = inbox.of("slack")
    assert {opened.thread, escalated.thread, resolved.thread} == {reference}
    assert "thread_ts" not in opened.raw
    assert "reply_broadcast" not in escalated.raw
    assert resolved.raw["reply_broadcast"] is True
    assert opened.raw["channel"] == "#ops"


async def test_a_resolution_without_a_thread_is_an_ordinary_message(channel: SlackChannel, inbox: Inbox) -> None:
    await channel.send(message(Event.RESOLVED), None)
    assert "reply_broadcast" not in inbox.of("slack")[0].raw


@pytest.mark.parametrize("name", AWKWARD)
async def test_awkward_messages_arrive_within_the_limit(channel: SlackChannel, inbox: Inbox, name: str) -> None:
    await channel.send(TEMPLATES.render(AWKWARD[name]), None)
    (received,) = inbox.of("slack")
    assert 0 < len(received.text) <= slack.TEXT_LIMIT


async def test_markup_in_alerts_is_inert(channel: SlackChannel, inbox: Inbox) -> None:
    await channel.send(TEMPLATES.render(AWKWARD["hostile text everywhere"]), None)
    text = inbox.of("slack")[0].text
    assert "&lt;!channel&gt;" in text
    assert "<!channel" not in text
    assert "<@" not in text
    assert text.count("<") == text.count(">") == 1  # the runbook's link
    assert inbox.of("slack")[0].raw["link_names"] is False


def test_links_are_escaped_even_when_a_message_bears_bad_ones() -> None:
    bad = replace(message(), links=(("a<b", "https://x.example/|<!channel>&y=1"),))
    assert slack.text(bad).endswith("<https://x.example/%7C%3C!channel%3E&amp;y=1|a&lt;b>")


def test_links_beyond_their_room_are_left_out() -> None:
    many = replace(message(), links=tuple((f"Runbook {n}", "https://x.example/" + "y" * 300) for n in range(20)))
    assert slack.text(many).count("|Runbook") == 3


@pytest.mark.parametrize(
    ("data", "limit", "text"),
    [("a&b", 7, "a&amp;b"), ("a&b", 6, "a…"), ("a&b&c", 8, "a&amp;b…"), ("abc", 0, "…"), ("a;&&", 7, "a;…")],
)
def test_a_cut_never_splits_an_escape(data: str, limit: int, text: str) -> None:
    assert slack.escape(data, limit) == text


@pytest.mark.parametrize("gone", sorted(slack.LOST_THREAD))
async def test_a_thread_that_is_gone_is_begun_anew(channel: SlackChannel, inbox: Inbox, gone: str) -> None:
    inbox.script("slack", Answer(body={"ok": False, "error": gone}))
    reference = await channel.send(message(Event.ESCALATED), "1.000001")
    (received,) = inbox.of("slack")
    assert reference == received.thread != "1.000001"


@pytest.mark.parametrize(
    ("answer", "reason", "again"),
    [
        *((Answer(body={"ok": False, "error": code}), "credentials", False) for code in sorted(slack.CREDENTIALS)),
        *((Answer(body={"ok": False, "error": code}), "rejected", False) for code in sorted(slack.REJECTED)),
        *((Answer(body={"ok": False, "error": code}), "rate_limited", True) for code in sorted(slack.RATE_LIMITED)),
        *((Answer(body={"ok": False, "error": code}), "rejected", False) for code in sorted(slack.LOST_THREAD)),
        (Answer(body={"ok": False, "error": "request_timeout"}), "timeout", True),
        (Answer(body={"ok": False, "error": "internal_error"}), "server", True),
        (Answer(body={"ok": False, "error": "invented_tomorrow"}), "server", True),
        (Answer(body={"ok": False}), "server", True),
        (Answer(body={"ok": True}), "server", True),
        (Answer(body="ok"), "server", True),
        (Answer(body="<html>log in</html>", headers={"Content-Type": "text/html"}), "server", True),
        (Answer(body="{nonsense", headers={"Content-Type": "application/json"}), "server", True),
        (Answer(body="[1]", headers={"Content-Type": "application/json"}), "server", True),
        (Answer(500, "oops"), "server", True),
        (Answer(503, {"ok": False, "error": "service_unavailable"}), "server", True),
        (Answer(403, "no"), "credentials", False),
        (Answer(404, "no"), "rejected", False),
        (Answer(429, {"ok": False, "error": "ratelimited"}), "rate_limited", True),
        (Answer(reset=True), "connection", True),
    ],
    ids=lambda value: f"{value.status} {value.body}" if isinstance(value, Answer) else str(value),
)
async def test_each_failure_has_a_reason_and_says_whether_to_try_again(
    channel: SlackChannel, inbox: Inbox, answer: Answer, reason: str, again: bool
) -> None:
    inbox.script("slack", answer)
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    assert (raised.value.reason, raised.value.again) == (reason, again)
    assert len(raised.value.detail) < 400
    assert inbox.calls == ["slack"], "the queue retries, not the channel"


async def test_a_rate_limit_says_how_long_to_wait(channel: SlackChannel, inbox: Inbox) -> None:
    inbox.script("slack", Answer(429, {"ok": False, "error": "ratelimited"}, headers={"Retry-After": "30"}))
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    assert raised.value.after == timedelta(seconds=30)


async def test_a_slow_answer_is_a_timeout(served: Serving, inbox: Inbox) -> None:
    inbox.script("slack", Answer(wait=True))
    channel = SlackChannel("team", _settings(served, timeout="200ms"))
    with pytest.raises(DeliveryError, match=r"timeout: no answer within 0\.2 s") as raised:
        await channel.send(message(), None)
    await channel.close()
    assert raised.value.again


async def test_no_server_is_a_connection_failure(served: Serving) -> None:
    channel = SlackChannel("team", _settings(served, base_url="http://127.0.0.1:1/api"))
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    await channel.close()
    assert (raised.value.reason, raised.value.again) == ("connection", True)


async def test_a_wrong_token_is_told_as_credentials(served: Serving) -> None:
    channel = SlackChannel("team", _settings(served, token="xoxb-other"))
    with pytest.raises(DeliveryError, match="credentials: Slack says invalid_auth"):
        await channel.send(message(), None)
    await channel.close()


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    channel: SlackChannel, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await channel.send(message(), None)
    assert len(inbox.of("slack")) == 1
