"""PagerDuty: actions by event, limits, and what each refusal means; by PagerDuty's client against the inbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploywatch.fakes.inbox import Answer, Inbox, Serving
from deploywatch.fakes.pagerduty import LIMIT as PAGERDUTY_LIMIT
from deploywatch.receiver.channels.pagerduty import events as pagerduty_events
from deploywatch.receiver.channels.pagerduty.channel import ACTIONS, PagerDutyChannel
from deploywatch.receiver.messages import ChangeChannel, DeliveryError
from deploywatch.receiver.settings.channels.pagerduty import PagerDutySettings
from deploywatch.receiver.story import DeploymentView, Event
from tests.receiver.channels.conftest import ROUTING_KEY
from tests.receiver.channels.limits import check_pagerduty
from tests.receiver.channels.stories import (
    AWKWARD,
    DEPLOYMENT,
    HOSTILE,
    INCIDENT,
    NOW,
    TEMPLATES,
    file_name,
    message,
    same_as_golden,
)

GOLDEN = Path(__file__).parent / "golden" / "pagerduty"
SENT = [event for event in Event if ACTIONS[event]]


def _settings(served: Serving, **changes: object) -> PagerDutySettings:
    plain = {"kind": "pagerduty", "routing_key": ROUTING_KEY, "url": served.url, "timeout": "10s"}
    return PagerDutySettings.model_validate(plain | changes)


def _written(event: dict[str, Any]) -> str:
    check_pagerduty(event)
    return json.dumps(event, indent=2, ensure_ascii=False) + "\n"


@pytest.fixture
async def channel(served: Serving) -> AsyncIterator[PagerDutyChannel]:
    made = PagerDutyChannel("on-call", _settings(served))
    yield made
    await made.close()


@pytest.mark.parametrize("event", SENT)
async def test_each_event_arrives_as_committed(channel: PagerDutyChannel, inbox: Inbox, event: Event) -> None:
    assert channel.wants(event)
    reference = await channel.send(message(event), None)
    received, *ended = inbox.of("pagerduty")
    assert reference == received.thread
    assert [resolved.raw["event_action"] for resolved in ended] == (["resolve"] if event is Event.WORSENED else [])
    assert received.thread.partition("-")[0] == message(event).dedup_key
    same_as_golden(GOLDEN / f"{event}.json", _written(dict(received.raw)))


def test_every_event_is_decided() -> None:
    assert set(ACTIONS) == set(Event)


@pytest.mark.parametrize("event", [Event.ROLLBACK_STARTED, Event.ROLLBACK_SUCCEEDED, Event.UPDATE])
async def test_what_asks_nobody_to_act_is_not_sent(channel: PagerDutyChannel, inbox: Inbox, event: Event) -> None:
    assert not channel.wants(event)
    assert await channel.send(message(event), "key") == "key"
    assert await channel.send(message(event), None) is None
    assert inbox.calls == []


async def test_one_incident_is_one_alert_all_its_life(channel: PagerDutyChannel, inbox: Inbox) -> None:
    reference = None
    for event in Event:
        if event is not Event.WORSENED:
            reference = await channel.send(message(event), reference)
    assert {received.thread for received in inbox.of("pagerduty")} == {reference}
    assert [received.raw["event_action"] for received in inbox.of("pagerduty")].count("resolve") == 1


async def test_the_third_trouble_of_one_severity_is_not_hidden_by_an_acknowledgement(
    channel: PagerDutyChannel, inbox: Inbox
) -> None:
    again = [replace(message(Event.WORSENED), id=f"{number:032}"[::-1]) for number in (1, 2)]
    reference = await channel.send(message(Event.OPENED), None)
    keys = {reference}
    for worse in again:
        reference = await channel.send(worse, reference)
        keys.add(reference)
        await channel.send(message(Event.ACKNOWLEDGED), reference)
    await channel.send(message(Event.RESOLVED), reference)
    assert len(keys) == 3
    ended = {received.thread for received in inbox.of("pagerduty") if received.raw["event_action"] == "resolve"}
    assert ended == keys


async def test_what_became_worse_pages_under_a_name_of_its_own(channel: PagerDutyChannel, inbox: Inbox) -> None:
    reference = await channel.send(message(Event.OPENED), None)
    reference = await channel.send(message(Event.ACKNOWLEDGED), reference)
    reference = await channel.send(message(Event.WORSENED), reference)
    # A try that was cut off comes again, and changes nothing.
    assert await channel.send(message(Event.WORSENED), reference) == reference
    reference = await channel.send(message(Event.RESOLVED), reference)
    heard = [(received.thread, received.raw["event_action"]) for received in inbox.of("pagerduty")]
    first, bigger = message().dedup_key, f"{message().dedup_key}-{message(Event.WORSENED).id[:8]}"
    assert heard == [
        (first, "trigger"),
        (first, "acknowledge"),
        (bigger, "trigger"),
        (first, "resolve"),
        (bigger, "trigger"),
        (bigger, "resolve"),
    ]


@pytest.mark.parametrize(
    ("severity", "theirs"),
    [("critical", "critical"), ("high", "error"), ("medium", "warning"), ("low", "info"), ("page", "warning")],
)
def test_severities_are_translated(severity: str, theirs: str) -> None:
    told = replace(message(), incident=replace(INCIDENT, severity=severity))
    assert pagerduty_events.alert(told)["payload"]["severity"] == theirs


def test_the_client_link_is_the_incidents_else_the_configured() -> None:
    bare = replace(message(), incident=replace(INCIDENT, url=""))
    assert pagerduty_events.alert(message(), "https://d.example")["client_url"] == INCIDENT.url
    assert pagerduty_events.alert(bare, "https://d.example")["client_url"] == "https://d.example"
    assert "client_url" not in pagerduty_events.alert(bare)


@pytest.mark.parametrize("name", AWKWARD)
async def test_awkward_messages_arrive_as_committed(channel: PagerDutyChannel, inbox: Inbox, name: str) -> None:
    await channel.send(TEMPLATES.render(AWKWARD[name]), None)
    (received,) = inbox.of("pagerduty")
    same_as_golden(GOLDEN / "awkward" / file_name(name, ".json"), _written(dict(received.raw)))


@pytest.mark.parametrize("name", AWKWARD)
def test_every_event_keeps_to_the_limits_with_awkward_data(name: str) -> None:
    for event in SENT:
        check_pagerduty(pagerduty_events.alert(TEMPLATES.render(replace(AWKWARD[name], event=event))))


def test_the_largest_event_stays_below_the_limit() -> None:
    huge = "🔥" * 600_000
    incident = replace(INCIDENT, service=huge, environment=huge, severity=huge, type=huge, url="https://x/" + huge)
    links = tuple((huge, "https://x.example/" + "y" * 1900) for _ in range(500))
    told = replace(message(), incident=incident, title=huge, body=huge, dedup_key="k" * 9999, links=links)
    event = pagerduty_events.alert(told)
    assert len(json.dumps(event)) < PAGERDUTY_LIMIT
    assert len(event["payload"]["custom_details"]["message"]) > 10_000
    assert event["payload"]["custom_details"]["message"].endswith("…")
    assert len(pagerduty_events.dedup_key(told)) == pagerduty_events.DEDUP_KEY_LIMIT


@pytest.mark.parametrize("status", ["running", "succeeded", "failed", "rolled_back", "paused"])
async def test_a_deployment_arrives_as_a_change(channel: PagerDutyChannel, inbox: Inbox, status: str) -> None:
    assert isinstance(channel, ChangeChannel)
    ended = None if status == "running" else NOW
    await channel.change(replace(DEPLOYMENT, status=status, finished_at=ended))
    assert not inbox.of("pagerduty")
    (received,) = inbox.of("change")
    same_as_golden(GOLDEN / "change" / f"{status}.json", _written(dict(received.raw)))


async def test_a_change_of_awkward_words_is_taken(channel: PagerDutyChannel, inbox: Inbox) -> None:
    huge = HOSTILE * 9999
    await channel.change(DeploymentView(huge, huge, huge, None, NOW, None, huge, ""))
    (received,) = inbox.of("change")
    check_pagerduty(dict(received.raw))
    assert received.raw["payload"]["custom_details"]["deployer"] == "unknown"


async def test_changes_are_sent_only_where_they_are_wanted(served: Serving, inbox: Inbox) -> None:
    channel = PagerDutyChannel("on-call", _settings(served, changes=False))
    await channel.change(DEPLOYMENT)
    await channel.close()
    assert inbox.calls == []


async def test_a_change_that_is_refused_says_why(channel: PagerDutyChannel, inbox: Inbox) -> None:
    inbox.script("pagerduty", Answer(429, "", headers={"Retry-After": "7"}))
    with pytest.raises(DeliveryError) as raised:
        await channel.change(DEPLOYMENT)
    assert (raised.value.reason, raised.value.after) == ("rate_limited", timedelta(seconds=7))


@pytest.mark.parametrize(
    ("answer", "reason", "again"),
    [
        (Answer(400, {"status": "invalid event", "errors": ["no such key"]}), "rejected", False),
        (Answer(400, {"status": "invalid event", "message": "bad"}), "rejected", False),
        (Answer(400, '["odd"]', headers={"Content-Type": "application/json"}), "rejected", False),
        (Answer(400, "odd"), "rejected", False),
        (Answer(401, ""), "credentials", False),
        (Answer(403, ""), "credentials", False),
        (Answer(413, ""), "rejected", False),
        (Answer(429, ""), "rate_limited", True),
        (Answer(500, ""), "server", True),
        (Answer(502, "<html>"), "server", True),
        (Answer(503, ""), "server", True),
        (Answer(202, "<html>"), "server", True),
        (Answer(202, {"status": "success"}), "server", True),
        (Answer(reset=True), "connection", True),
    ],
    ids=lambda value: f"{value.status} {value.body}" if isinstance(value, Answer) else str(value),
)
async def test_each_failure_has_a_reason_and_says_whether_to_try_again(
    channel: PagerDutyChannel, inbox: Inbox, answer: Answer, reason: str, again: bool
) -> None:
    inbox.script("pagerduty", answer)
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    assert (raised.value.reason, raised.value.again) == (reason, again)
    assert inbox.calls == ["pagerduty"], "the queue retries, not the channel"


async def test_a_rejection_says_what_the_api_has_against_the_event(channel: PagerDutyChannel, inbox: Inbox) -> None:
    inbox.script("pagerduty", Answer(400, {"errors": ["'payload.source' is missing", "and more"]}))
    with pytest.raises(DeliveryError, match=r"rejected: HTTP 400: 'payload\.source' is missing; and more"):
        await channel.send(message(), None)


async def test_a_rate_limit_says_how_long_to_wait(channel: PagerDutyChannel, inbox: Inbox) -> None:
    inbox.script("pagerduty", Answer(429, "", headers={"Retry-After": "7"}))
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    assert raised.value.after == timedelta(seconds=7)


async def test_a_slow_answer_is_a_timeout(served: Serving, inbox: Inbox) -> None:
    inbox.script("pagerduty", Answer(wait=True))
    channel = PagerDutyChannel("on-call", _settings(served, timeout="200ms"))
    with pytest.raises(DeliveryError, match=r"timeout: no answer within 0\.2 s") as raised:
        await channel.send(message(), None)
    await channel.close()
    assert raised.value.again


async def test_no_server_is_a_connection_failure(served: Serving) -> None:
    channel = PagerDutyChannel("on-call", _settings(served, url="http://127.0.0.1:1"))
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    await channel.close()
    assert (raised.value.reason, raised.value.again) == ("connection", True)


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    channel: PagerDutyChannel, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await channel.send(message(), None)
    assert len(inbox.of("pagerduty")) == 1
