"""Slack webhooks, Teams, Discord, Telegram, Opsgenie, ntfy, each against a stand-in that answers as documented."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from deploywatch.fakes import discord as discord_fake
from deploywatch.fakes.inbox import Answer, Inbox, Serving
from deploywatch.receiver.channels import connect, discord, ntfy, opsgenie, teams, telegram
from deploywatch.receiver.channels.telegram import TelegramChannel
from deploywatch.receiver.messages import Channel, DeliveryError, Message
from deploywatch.receiver.settings.channels import AnySettings, ChannelSettings
from deploywatch.receiver.settings.channels.telegram import TelegramSettings
from deploywatch.receiver.story import Event
from tests.receiver.channels.stories import AWKWARD, TEMPLATES, file_name, message, same_as_golden

GOLDEN = Path(__file__).parent / "golden"
LONG = "x" * 100_000
EVIL = "@everyone <@U1> <!channel> [pay](javascript:alert(1)) *b* `c` <at>all</at> @admin /start \x1b[31m"
MENTIONED = {"slack_webhook": "S0123456789", "discord": "123456789012345678"}


@dataclass(frozen=True)
class Service:
    """Where a service is found, with credentials that it takes, and with some that it refuses."""

    settings: Callable[[str], dict[str, Any]]
    wrong: Callable[[str], dict[str, Any]]
    secret: str


def _in_url(path: str) -> Callable[[str], dict[str, Any]]:
    return lambda url: {"url": f"{url}{path}"}


SERVICES = {
    "slack_webhook": Service(_in_url("/services/T0/B0/good-secret"), _in_url("/services/T0/B0/wrong"), "good-secret"),
    "teams": Service(
        _in_url("/workflows/1/triggers/manual/paths/invoke?sig=good-secret"),
        _in_url("/workflows/1/triggers/manual/paths/invoke?sig=wrong"),
        "good-secret",
    ),
    "discord": Service(_in_url("/api/webhooks/1/good-secret"), _in_url("/api/webhooks/1/wrong"), "good-secret"),
    "telegram": Service(
        lambda url: {"base_url": url, "token": "1:good-secret", "chat": "-100"},
        lambda url: {"base_url": url, "token": "1:wrong", "chat": "-100"},
        "good-secret",
    ),
    "opsgenie": Service(
        lambda url: {"url": url, "api_key": "good-secret", "team": "shop", "tags": ["a"]},
        lambda url: {"url": url, "api_key": "wrong"},
        "good-secret",
    ),
    "ntfy": Service(
        lambda url: {"url": f"{url}/ntfy", "topic": "a-secret-topic", "token": "good-secret"},
        lambda url: {"url": f"{url}/ntfy", "topic": "a-secret-topic", "token": "wrong"},
        "good-secret",
    ),
}
SETTINGS: TypeAdapter[AnySettings] = TypeAdapter(ChannelSettings)


def _connected(kind: str, served: Serving, **changes: Any) -> Channel:
    plain = {"kind": kind, **SERVICES[kind].settings(served.url), "timeout": "5s", **changes}
    settings = SETTINGS.validate_python(plain)
    if kind == "telegram":
        assert isinstance(settings, TelegramSettings)
        # Each look at the clock takes an hour, so that every message has its turn.
        return TelegramChannel("team", settings, clock=partial(next, count(0.0, 3600.0)))
    return connect("team", settings)


def _arrived(kind: str, inbox: Inbox) -> str:
    return json.dumps([dict(message.raw) for message in inbox.of(kind)], indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("kind", SERVICES)
async def test_each_event_arrives_as_committed(kind: str, event: Event, served: Serving, inbox: Inbox) -> None:
    channel = _connected(kind, served)
    if kind == "opsgenie":  # what follows is about an alert that is there
        await channel.send(message(Event.OPENED), None)
        inbox.received.clear()
        inbox.keep("opsgenie", thread=message().dedup_key, title="", text="", raw={})
    await channel.send(message(event), None)
    await channel.close()
    same_as_golden(GOLDEN / kind / f"{event}.json", _arrived(kind, inbox))


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("kind", SERVICES)
async def test_awkward_messages_arrive_as_committed(kind: str, name: str, served: Serving, inbox: Inbox) -> None:
    channel = _connected(kind, served)
    await channel.send(TEMPLATES.render(AWKWARD[name]), None)
    await channel.close()
    same_as_golden(GOLDEN / kind / "awkward" / file_name(name, ".json"), _arrived(kind, inbox))


@pytest.mark.parametrize("kind", SERVICES)
async def test_what_is_too_long_is_cut_and_taken(kind: str, served: Serving, inbox: Inbox) -> None:
    channel = _connected(kind, served)
    links = tuple((f"Runbook {number}", f"https://r.example.com/({'a' * 900}){number}") for number in range(12))
    for text in (LONG, "🔥" * 20_000, "*_[" * 20_000, "\n".join(["Why: a"] * 20_000)):
        await channel.send(replace(message(), title=text[:200], body=text, links=links), None)
    await channel.close()
    assert len(inbox.of(kind)) == 4


@pytest.mark.parametrize("kind", SERVICES)
async def test_wrong_credentials_are_told_by_a_message_and_by_a_check(kind: str, served: Serving, inbox: Inbox) -> None:
    channel = _connected(kind, served, **SERVICES[kind].wrong(served.url))
    checks = [channel.send(message(), None), *([] if kind == "teams" else [channel.check()])]
    for asked in checks:
        with pytest.raises(DeliveryError) as raised:
            await asked
        assert (raised.value.reason, raised.value.again) == ("credentials", False)
    await channel.close()
    assert not inbox.received


@pytest.mark.parametrize("kind", SERVICES)
async def test_a_check_of_good_credentials_tells_nobody_anything(kind: str, served: Serving, inbox: Inbox) -> None:
    channel = _connected(kind, served)
    if kind == "teams":
        with pytest.raises(DeliveryError, match="runs at each request") as raised:
            await channel.check()
        assert raised.value.reason == "unknowable"
    else:
        assert await channel.check()
    await channel.close()
    assert not inbox.received


@pytest.mark.parametrize(
    ("answer", "reason", "again", "after"),
    [
        (Answer(429, "slow", {"Retry-After": "7"}), "rate_limited", True, timedelta(seconds=7)),
        (Answer(500, "broken"), "server", True, None),
        (Answer(503, "down", {"Retry-After": "30"}), "server", True, timedelta(seconds=30)),
        (Answer(400, "what?"), "rejected", False, None),
        (Answer(403, "no"), "credentials", False, None),
        (Answer(302, "", {"Location": "https://evil.example/"}), "rejected", False, None),
        (Answer(reset=True), "connection", True, None),
    ],
    ids=["429", "500", "503", "400", "403", "302", "reset"],
)
@pytest.mark.parametrize("kind", SERVICES)
async def test_each_answer_has_a_reason_and_says_whether_to_try_again(
    kind: str, answer: Answer, reason: str, again: bool, after: timedelta | None, served: Serving, inbox: Inbox
) -> None:
    inbox.script(kind, answer)
    channel = _connected(kind, served)
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    await channel.close()
    assert (raised.value.reason, raised.value.again, raised.value.after) == (reason, again, after)
    assert not inbox.received


PAGE = "<!DOCTYPE html><html>Sign in to the network</html>"
FOREIGN = [
    *((kind, PAGE) for kind in SERVICES),
    # A workflow of Teams' says whatever it was made to say.
    *((kind, said) for kind in SERVICES if kind != "teams" for said in ("", "[1]", '{"ok": false, "error": "no"}')),
]


@pytest.mark.parametrize(("kind", "text"), FOREIGN)
async def test_a_success_that_the_service_would_not_say_so_is_none(
    kind: str, text: str, served: Serving, inbox: Inbox
) -> None:
    inbox.script(kind, Answer(200, text))
    channel = _connected(kind, served)
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    await channel.close()
    assert (raised.value.reason, raised.value.again, raised.value.unsure) == ("server", True, True)


@pytest.mark.parametrize("kind", SERVICES)
async def test_no_answer_within_the_time_may_have_arrived(kind: str, served: Serving, inbox: Inbox) -> None:
    async def waited(limit: str) -> DeliveryError:
        inbox.script(kind, Answer(wait=True))
        channel = _connected(kind, served, timeout=limit)
        with pytest.raises(DeliveryError) as raised:
            await channel.send(message(), None)
        await channel.close()
        return raised.value

    error = await waited("100ms")
    if not error.unsure:  # a slow machine had not sent it
        error = await waited("20s")
    assert (error.reason, error.again, error.unsure) == ("timeout", True, True)


@pytest.mark.parametrize("kind", SERVICES)
async def test_what_a_label_bears_calls_nobody_and_is_no_markup(kind: str, served: Serving, inbox: Inbox) -> None:
    channel = _connected(kind, served)
    await channel.send(replace(message(), title=EVIL, body=EVIL), None)
    await channel.close()
    (received,) = inbox.of(kind)
    raw = json.dumps(dict(received.raw), ensure_ascii=False)
    if kind == "slack_webhook":
        blocks = [block for block in received.raw["blocks"] if block["type"] != "rich_text"]
        read = json.dumps([received.raw["text"], blocks])
        assert "<!channel>" not in read
        assert "<@U1>" not in read
        assert received.raw["mrkdwn"] is False
    if kind == "discord":
        assert received.raw["allowed_mentions"] == {"parse": [], "roles": []}
        assert "](javascript" not in raw
    if kind == "telegram":
        assert "@admin" not in raw
        assert "/start" not in raw
        assert "parse_mode" not in received.raw
    if kind == "teams":
        assert '"TextBlock"' not in raw
        assert "msteams" not in received.raw or "entities" not in received.raw["msteams"]


@pytest.mark.parametrize("kind", MENTIONED)
async def test_whom_the_config_names_is_called_only_where_somebody_must_act(
    kind: str, served: Serving, inbox: Inbox
) -> None:
    channel = _connected(kind, served, mention=MENTIONED[kind])
    minor = replace(message(), incident=replace(message().incident, severity="low"))
    strange = replace(message(), incident=replace(message().incident, severity="P0!"))
    for told in (message(Event.OPENED), message(Event.UPDATE), message(Event.RESOLVED), minor, strange):
        await channel.send(told, None)
    await channel.close()
    raws = [json.dumps(dict(message.raw)) for message in inbox.of(kind)]
    assert [MENTIONED[kind] in raw for raw in raws] == [True, False, False, False, True]


async def test_slacks_webhook_takes_the_words_where_the_blocks_are_refused(served: Serving, inbox: Inbox) -> None:
    inbox.script("slack_webhook", Answer(400, "invalid_blocks"))
    channel = _connected("slack_webhook", served)
    await channel.send(message(), None)
    await channel.close()
    (received,) = inbox.of("slack_webhook")
    assert {block["text"]["type"] for block in received.raw["blocks"]} == {"plain_text"}
    assert message().title in received.text
    assert all(url.replace("&", "&amp;") in received.text for _, url in message().links)


@pytest.mark.parametrize(("text", "reason"), [("HTTP error 429", "rate_limited"), ("", "server")])
async def test_what_an_older_connector_of_teams_could_not_post_is_no_success(
    text: str, reason: str, served: Serving, inbox: Inbox
) -> None:
    inbox.script("teams", Answer(200, f"Webhook message delivery failed with error: Microsoft Teams returned {text}"))
    channel = _connected("teams", served)
    with pytest.raises(DeliveryError, match=reason):
        await channel.send(message(), None)
    await channel.close()


async def test_a_workflow_that_is_turned_off_wants_a_person(served: Serving, inbox: Inbox) -> None:
    error = {"error": {"code": "WorkflowTriggerIsNotEnabled", "message": "off"}}
    inbox.script("teams", Answer(400, error))
    channel = _connected("teams", served)
    with pytest.raises(DeliveryError, match="turn the workflow on"):
        await channel.send(message(), None)
    await channel.close()


async def test_discord_and_telegram_say_in_the_body_how_long_to_wait(served: Serving, inbox: Inbox) -> None:
    inbox.script("discord", Answer(429, {"message": "You are being rate limited.", "retry_after": 1.5}))
    inbox.script("telegram", Answer(429, {"ok": False, "error_code": 429, "parameters": {"retry_after": 9}}))
    for kind, seconds in (("discord", 1.5), ("telegram", 9)):
        channel = _connected(kind, served)
        with pytest.raises(DeliveryError) as raised:
            await channel.send(message(), None)
        await channel.close()
        assert raised.value.after == timedelta(seconds=seconds)


async def test_telegram_replies_to_the_incidents_first_message(served: Serving, inbox: Inbox) -> None:
    channel = _connected("telegram", served)
    first = await channel.send(message(), None)
    assert await channel.send(message(Event.RESOLVED), first) == first
    await channel.close()
    assert [message.thread for message in inbox.of("telegram")] == [first, first]


async def test_a_group_that_became_a_supergroup_is_followed(served: Serving, inbox: Inbox) -> None:
    moved = {"ok": False, "error_code": 400, "parameters": {"migrate_to_chat_id": -1009}}
    inbox.script("telegram", Answer(400, moved))
    channel = _connected("telegram", served)
    assert await channel.send(message(), "77") == "1"
    await channel.close()
    assert inbox.of("telegram")[0].raw["chat_id"] == "-1009"


async def test_opsgenie_pages_anew_for_what_became_worse_again_and_again(served: Serving, inbox: Inbox) -> None:
    channel = _connected("opsgenie", served)
    high = replace(message(), incident=replace(message().incident, severity="high"))
    keys = [await channel.send(high, None)]
    for number in "12":
        worse = replace(message(Event.WORSENED), id=number * 32)
        keys.append(await channel.send(worse, keys[-1]))
        # A try that was cut off comes again, and changes nothing.
        assert await channel.send(worse, keys[-1]) == keys[-1]
    await channel.send(message(Event.RESOLVED), keys[-1])
    await channel.close()
    assert len(set(keys)) == 3
    heard = [
        (message.thread, message.title.split(":")[0], message.raw.get("priority")) for message in inbox.of("opsgenie")
    ]
    first, second, third = keys
    assert heard == [
        (first, "create", "P2"),
        (second, "create", "P1"),
        (first, "close", None),
        (second, "create", "P1"),
        (third, "create", "P1"),
        (second, "close", None),
        (third, "create", "P1"),
        (third, "close", None),
    ]


def test_the_limits_are_those_of_the_stand_ins() -> None:
    assert tuple(discord_fake.LIMITS.values()) == (discord.TITLE_LIMIT, discord.DESCRIPTION_LIMIT)
    assert telegram.units("🔥") == 2
    assert set(opsgenie.ACTIONS) == set(Event)


def test_nothing_is_cut_inside_a_character() -> None:
    assert len(ntfy.fitted("é" * 5000).encode()) <= ntfy.LIMIT
    assert ntfy.fitted("é" * 5000).endswith("é…")
    assert telegram.units(telegram.fitted("🔥" * 5000)) <= telegram.LIMIT
    whole = json.dumps(teams.payload(_huge()))
    assert len(whole) <= teams.LIMIT


def _huge() -> Message:
    return replace(message(), body="🔥" * 20_000)


async def test_telegrams_messages_keep_their_distance_and_come_back_when_it_is_too_far(
    served: Serving, inbox: Inbox
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    settings = SETTINGS.validate_python({"kind": "telegram", **SERVICES["telegram"].settings(served.url)})
    assert isinstance(settings, TelegramSettings)
    channel = TelegramChannel("team", settings, clock=lambda: 0.0, sleep=wait)
    for _ in range(2):
        await channel.send(message(), None)
    with pytest.raises(DeliveryError, match="rate is used up") as raised:
        await channel.send(message(), None)
    await channel.close()
    assert waits == [3.0]
    assert raised.value.after == timedelta(seconds=6)
    assert len(inbox.of("telegram")) == 2
