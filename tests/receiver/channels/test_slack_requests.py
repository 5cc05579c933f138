"""Presses of buttons in Slack: only what Slack signed a moment ago counts, and it says who wants what."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from deploywatch.fakes.inbox import Inbox, Serving
from deploywatch.fakes.slack import methods
from deploywatch.fakes.slack.methods import Request
from deploywatch.receiver.channels.slack import requests as slack_requests
from deploywatch.receiver.channels.slack.channel import SlackChannel
from deploywatch.receiver.channels.slack.requests import Action, Interaction, SlackRequestError, parse, verify
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.story import Event
from deploywatch.secrets import Masked
from tests.receiver.channels.conftest import SIGNING_SECRET, SLACK_TOKEN
from tests.receiver.channels.stories import HOSTILE, NOW, SOON, message

SECRET = Masked(SIGNING_SECRET)


def _request(body: bytes = b"payload=%7B%7D", secret: str = SIGNING_SECRET, at: datetime = NOW) -> Request:
    return methods.signed(body, secret=secret, at=at)


def _form(payload: object) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


def _pressed(**changes: Any) -> dict[str, Any]:
    pressed = {"action_id": "acknowledge", "type": "button", "value": "12"} | changes
    return {"type": "block_actions", "user": {"id": "U1", "username": "ann"}, "actions": [pressed]}


def test_the_example_of_slacks_documentation_verifies() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F"
        b"96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    secret = Masked("8f742231b10e8888abcd99yyyzzz85a5")
    verify(headers, body, [secret], datetime.fromtimestamp(1531420618, UTC))


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_what_slack_signed_within_five_minutes_is_good(offset: int) -> None:
    request = _request()
    verify(request.headers, request.body, [SECRET], NOW + timedelta(seconds=offset))


@pytest.mark.parametrize("offset", [-302, 302, 86400])
def test_what_is_older_or_from_the_future_is_stale(offset: int) -> None:
    request = _request()
    with pytest.raises(SlackRequestError) as raised:
        verify(request.headers, request.body, [SECRET], NOW + timedelta(seconds=offset))
    assert raised.value.reason == "stale"


def test_header_names_are_taken_in_any_case() -> None:
    request = _request()
    verify({name.lower(): value for name, value in request.headers.items()}, request.body, [SECRET], NOW)


def test_while_a_secret_is_replaced_both_are_good() -> None:
    for secret in ("old-secret", "new-secret"):
        request = _request(secret=secret)
        verify(request.headers, request.body, [Masked("new-secret"), Masked("old-secret")], NOW)


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({}, b"x", "unsigned"),
        ({"X-Slack-Signature": "v0=00"}, b"x", "unsigned"),
        ({"X-Slack-Request-Timestamp": "1777644310"}, b"x", "unsigned"),
        ({**_request().headers, "X-Slack-Request-Timestamp": "now"}, b"x", "unsigned"),
        ({**_request().headers, "X-Slack-Request-Timestamp": "9" * 5000}, b"x", "unsigned"),
        ({**_request().headers, "X-Slack-Request-Timestamp": "٣"}, b"x", "unsigned"),
        (_request().headers, b"payload=%7B%7D ", "forged"),
        (_request(secret="other").headers, b"payload=%7B%7D", "forged"),
        ({**_request().headers, "X-Slack-Signature": "v0=שלום"}, b"payload=%7B%7D", "forged"),
        ({**_request().headers, "X-Slack-Signature": "v1=" + "0" * 64}, b"payload=%7B%7D", "forged"),
    ],
)
def test_what_slack_did_not_sign_is_refused(headers: dict[str, str], body: bytes, reason: str) -> None:
    with pytest.raises(SlackRequestError) as raised:
        verify(headers, body, [SECRET], NOW)
    assert raised.value.reason == reason
    assert SIGNING_SECRET not in str(raised.value)


def test_without_a_secret_nothing_is_good() -> None:
    request = _request(secret="")
    with pytest.raises(SlackRequestError, match="no signing secret"):
        verify(request.headers, request.body, [], NOW)


@pytest.mark.parametrize(
    ("event", "button", "expires"),
    [
        (Event.OPENED, Action.ACKNOWLEDGE, None),
        (Event.APPROVAL_WANTED, Action.APPROVE, SOON),
        (Event.APPROVAL_WANTED, Action.REJECT, SOON),
    ],
)
async def test_a_press_of_our_button_says_who_wants_what(
    served: Serving, inbox: Inbox, event: Event, button: Action, expires: datetime | None
) -> None:
    settings = {"kind": "slack", "token": SLACK_TOKEN, "channel": "#ops", "base_url": served.slack_url}
    channel = SlackChannel("team", SlackSettings.model_validate(settings | {"signing_secret": SIGNING_SECRET}))
    await channel.send(message(event), None)
    await channel.close()
    request = methods.press(inbox.of("slack")[0], button, secret=SIGNING_SECRET, at=NOW)
    verify(request.headers, request.body, channel_secrets(settings), NOW)
    assert parse(request.body) == Interaction(button, 12, "U0123ANN", "ann", expires)


def channel_secrets(settings: dict[str, str]) -> tuple[Masked, ...]:
    """The secrets of a channel whose secret has just been replaced."""
    changed = {"signing_secret": "brand-new", "previous_signing_secret": SIGNING_SECRET}
    return SlackSettings.model_validate(settings | changed).signing_secrets


@pytest.mark.parametrize(
    "payload",
    [
        _pressed(action_id="link-1", value=None),
        _pressed(action_id="somebody-elses"),
        _pressed(action_id=["acknowledge"]),
        {"type": "view_submission", "user": {"id": "U1"}},
        {},
    ],
)
def test_what_asks_for_nothing_of_ours_is_nothing(payload: object) -> None:
    assert parse(_form(payload)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b"payload=no+json",
        b"payload=[1]",
        b"\xff=\xff",
        b"payload=" + b"[" * 100_000,
        b"x" * (slack_requests.BODY_LIMIT + 1),
        _form({"type": "block_actions"}),
        _form({"type": "block_actions", "actions": ["x"], "user": {"id": "U1"}}),
        _form(_pressed() | {"user": None}),
        _form(_pressed() | {"user": {"id": "ann\nroot"}}),
        _form(_pressed() | {"user": {}}),
        *(_form(_pressed(value=carried)) for carried in ("", "0", "-1", "12; DROP", "1" * 40, "12/x", "12/", None)),
        _form(_pressed(value="12/" + "9" * 12)),
    ],
    ids=lambda body: body[:60].decode("ascii", "backslashreplace"),
)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    with pytest.raises(SlackRequestError) as raised:
        parse(body)
    assert raised.value.reason == "malformed"


def test_a_name_is_data_on_one_line() -> None:
    found = parse(_form(_pressed() | {"user": {"id": "U1", "username": HOSTILE * 9}}))
    assert found
    assert "\n" not in found.who
    assert len(found.who) < 150
    unnamed = parse(_form(_pressed() | {"user": {"id": "U1"}}))
    assert unnamed
    assert unnamed.who == "Slack U1"
