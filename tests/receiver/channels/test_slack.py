"""Slack: threads, the first message kept up to date, pacing, and what each refusal means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from deploywatch.fakes.inbox import Answer, Inbox, Serving
from deploywatch.fakes.slack.methods import channel_id
from deploywatch.receiver.channels import signs
from deploywatch.receiver.channels.slack import answers as slack_answers
from deploywatch.receiver.channels.slack.channel import SlackChannel
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.story import Event
from tests.receiver.channels.conftest import SIGNING_SECRET, SLACK_TOKEN
from tests.receiver.channels.stories import AWKWARD, TEMPLATES, message


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        """Seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.slept.append(seconds)
        self.now += seconds


def _settings(served: Serving, **changes: object) -> SlackSettings:
    plain = {
        "kind": "slack",
        "token": SLACK_TOKEN,
        "channel": "#ops",
        "signing_secret": SIGNING_SECRET,
        "base_url": served.slack_url,
        "timeout": "10s",
    }
    return SlackSettings.model_validate(plain | changes)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def channel(served: Serving, time: Time) -> AsyncIterator[SlackChannel]:
    made = SlackChannel("team", _settings(served), clock=time.clock, sleep=time.sleep)
    yield made
    await made.close()


async def test_the_first_message_begins_the_thread_and_the_next_go_into_it(channel: SlackChannel, inbox: Inbox) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    assert await channel.send(message(Event.ROLLBACK_SUCCEEDED), reference) == reference
    assert await channel.send(message(Event.RESOLVED), reference) == reference
    opened, succeeded, resolved = inbox.of("slack")
    assert reference == f"{channel_id('#ops')}/{opened.thread}"
    assert opened.id == opened.thread == succeeded.thread == resolved.thread
    assert "thread_ts" not in opened.raw
    assert "reply_broadcast" not in succeeded.raw
    assert resolved.raw["reply_broadcast"] is True
    assert opened.raw["channel"] == "#ops"


async def test_that_a_rollback_began_is_said_by_the_first_message_alone(channel: SlackChannel, inbox: Inbox) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    assert await channel.send(message(Event.ROLLBACK_STARTED), reference) == reference
    (opened,) = inbox.of("slack")
    assert opened.updated_at
    assert "what was said of rollback started" in opened.text


async def test_where_the_first_message_cannot_be_changed_it_is_posted_all_the_same(
    channel: SlackChannel, inbox: Inbox
) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    inbox.script("slack", Answer(body={"ok": False, "error": "edit_window_closed"}))
    await channel.send(message(Event.ROLLBACK_STARTED), reference)
    assert "Rolling back" in inbox.of("slack")[1].title


async def test_the_first_message_follows_the_incidents_state(channel: SlackChannel, inbox: Inbox) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    before = inbox.of("slack")[0]
    await channel.send(message(Event.ESCALATED), reference)
    assert inbox.of("slack")[0] == before
    await channel.send(message(Event.ACKNOWLEDGED), reference)
    taken = inbox.of("slack")[0]
    assert taken.updated_at
    assert "ann has it" in taken.text
    assert "[Acknowledge]" in before.text
    assert "[Acknowledge]" not in taken.text
    await channel.send(message(Event.RESOLVED), reference)
    assert inbox.of("slack")[0].title == f"{signs.RESOLVED_SIGN} {message().title}"
    assert [message.updated_at != "" for message in inbox.of("slack")] == [True, False, False, False]


async def test_the_first_message_is_changed_before_people_hear_so_that_a_retry_repeats_nothing(
    channel: SlackChannel, inbox: Inbox
) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    inbox.script("slack", Answer(503, "down"))
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(Event.RESOLVED), reference)
    assert raised.value.again
    assert len(inbox.of("slack")) == 1
    await channel.send(message(Event.RESOLVED), reference)
    assert len(inbox.of("slack")) == 2


@pytest.mark.parametrize("code", ["cant_update_message", "edit_window_closed", "is_archived"])
async def test_a_first_message_that_cannot_be_changed_keeps_nobody_from_hearing(
    channel: SlackChannel, inbox: Inbox, code: str
) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    inbox.script("slack", Answer(body={"ok": False, "error": code}))
    with capture_logs() as logged:
        assert await channel.send(message(Event.RESOLVED), reference) == reference
    assert len(inbox.of("slack")) == 2
    assert code in logged[0]["error"]


async def test_a_first_message_that_was_deleted_is_followed_by_a_new_thread(
    channel: SlackChannel, inbox: Inbox
) -> None:
    reference = await channel.send(message(Event.RESOLVED), f"{channel_id('#ops')}/1.000001")
    (received,) = inbox.of("slack")
    assert reference == f"{channel_id('#ops')}/{received.id}"
    assert inbox.calls == ["slack", "slack"], "chat.update, then chat.postMessage"


async def test_a_resolution_without_a_thread_is_an_ordinary_message(channel: SlackChannel, inbox: Inbox) -> None:
    await channel.send(message(Event.RESOLVED), None)
    assert "reply_broadcast" not in inbox.of("slack")[0].raw


async def test_a_reference_without_a_channel_is_a_thread_of_the_configured_one(
    channel: SlackChannel, inbox: Inbox
) -> None:
    reference = await channel.send(message(Event.ESCALATED), "1.000001")
    assert reference == "#ops/1.000001"
    assert inbox.of("slack")[0].thread == "1.000001"


@pytest.mark.parametrize("name", AWKWARD)
async def test_awkward_messages_are_taken(channel: SlackChannel, inbox: Inbox, name: str) -> None:
    await channel.send(TEMPLATES.render(AWKWARD[name]), None)
    assert len(inbox.of("slack")) == 1


async def test_slack_is_told_to_look_for_no_names_and_links(channel: SlackChannel, inbox: Inbox) -> None:
    reference = await channel.send(TEMPLATES.render(AWKWARD["hostile text everywhere"]), None)
    await channel.send(message(Event.RESOLVED), reference)
    assert [(message.raw["parse"], message.raw["link_names"]) for message in inbox.of("slack")] == [("none", False)] * 2


async def test_buttons_are_there_only_when_presses_can_be_verified(served: Serving, inbox: Inbox) -> None:
    channel = SlackChannel("team", _settings(served, signing_secret=None))
    await channel.send(message(), None)
    await channel.close()
    assert "actions" not in [block["type"] for block in inbox.of("slack")[0].raw["blocks"]]


async def test_messages_follow_each_other_a_second_apart(channel: SlackChannel, inbox: Inbox, time: Time) -> None:
    for number in range(3):
        await channel.send(replace(message(), dedup_key=str(number)), None)
    assert time.slept == [1, 1]
    time.now += 60
    await channel.send(message(), None)
    assert time.slept == [1, 1]


async def test_a_burst_is_sent_back_to_the_queue_with_the_time_to_wait(served: Serving, inbox: Inbox) -> None:
    async def no_sleep(_: float) -> None:
        """Time stands still, as for messages that come all at once."""

    channel = SlackChannel("team", _settings(served), clock=lambda: 0.0, sleep=no_sleep)
    for _ in range(6):
        await channel.send(message(), None)
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    await channel.close()
    assert (raised.value.reason, raised.value.again, raised.value.after) == ("rate_limited", True, timedelta(seconds=6))
    assert len(inbox.calls) == 6


async def test_after_a_rate_limit_nothing_is_sent_before_its_time(
    channel: SlackChannel, inbox: Inbox, time: Time
) -> None:
    inbox.script("slack", Answer(429, {"ok": False, "error": "ratelimited"}, headers={"Retry-After": "30"}))
    for _ in range(2):
        with pytest.raises(DeliveryError) as raised:
            await channel.send(message(), None)
        assert raised.value.after == timedelta(seconds=30)
    assert inbox.calls == ["slack"]
    time.now += 30
    await channel.send(message(), None)
    assert len(inbox.of("slack")) == 1


@pytest.mark.parametrize("gone", sorted(slack_answers.LOST_THREAD))
async def test_a_thread_that_is_gone_is_begun_anew(channel: SlackChannel, inbox: Inbox, gone: str) -> None:
    inbox.script("slack", Answer(body={"ok": False, "error": gone}))
    reference = await channel.send(message(Event.ESCALATED), "1.000001")
    (received,) = inbox.of("slack")
    assert reference == f"{channel_id('#ops')}/{received.id}"
    assert received.thread == received.id


@pytest.mark.parametrize(
    ("answer", "reason", "again"),
    [
        *(
            (Answer(body={"ok": False, "error": code}), "credentials", False)
            for code in sorted(slack_answers.CREDENTIALS)
        ),
        *((Answer(body={"ok": False, "error": code}), "rejected", False) for code in sorted(slack_answers.REJECTED)),
        *(
            (Answer(body={"ok": False, "error": code}), "rate_limited", True)
            for code in sorted(slack_answers.RATE_LIMITED)
        ),
        *((Answer(body={"ok": False, "error": code}), "rejected", False) for code in sorted(slack_answers.LOST_THREAD)),
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


@pytest.mark.parametrize("refusal", sorted(slack_answers.BLOCKS))
async def test_what_slack_refuses_as_blocks_is_sent_again_as_plain_text_with_everything_that_it_said(
    channel: SlackChannel, inbox: Inbox, refusal: str
) -> None:
    inbox.script("slack", Answer(body={"ok": False, "error": refusal}))
    with capture_logs() as logs:
        reference = await channel.send(message(Event.OPENED), None)
    (received,) = inbox.of("slack")
    assert reference == f"{channel_id('#ops')}/{received.thread}"
    assert {block["text"]["type"] for block in received.raw["blocks"]} == {"plain_text"}
    assert message().title in received.text
    assert [(one["log_level"], refusal in one["error"]) for one in logs] == [("error", True)]


async def test_the_first_message_is_kept_up_to_date_as_plain_text_where_its_blocks_are_refused(
    channel: SlackChannel, inbox: Inbox
) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    inbox.script("slack", Answer(body={"ok": False, "error": "invalid_blocks"}))
    await channel.send(message(Event.ROLLBACK_STARTED), reference)
    (opened,) = inbox.of("slack")
    assert opened.updated_at
    assert {block["text"]["type"] for block in opened.raw["blocks"]} == {"plain_text"}
