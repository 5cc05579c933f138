"""Generic webhook: what is posted, its signature, and what each answer means; against the inbox."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy

from deploywatch.fakes.inbox import Answer, Inbox, Serving
from deploywatch.receiver.channels import webhook
from deploywatch.receiver.channels.signed_post import signature
from deploywatch.receiver.channels.webhook import WebhookChannel
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.receiver.story import Event
from deploywatch.secrets import Masked
from tests.receiver.channels.conftest import WEBHOOK_SECRET
from tests.receiver.channels.limits import check_webhook
from tests.receiver.channels.stories import AWKWARD, NOW, TEMPLATES, file_name, message, same_as_golden, story

GOLDEN = Path(__file__).parent / "golden" / "webhook"
PAGE = Path(__file__).parents[3] / "docs" / "channels" / "webhook.md"


def _settings(served: Serving, **changes: object) -> WebhookSettings:
    plain = {"kind": "webhook", "url": served.webhook_url, "secret": WEBHOOK_SECRET, "timeout": "10s"}
    return WebhookSettings.model_validate(plain | changes)


@pytest.fixture
async def channel(served: Serving) -> AsyncIterator[WebhookChannel]:
    made = WebhookChannel("tools", _settings(served), clock=lambda: NOW)
    yield made
    await made.close()


def _written(message: Message) -> str:
    body = webhook.encode(message)
    check_webhook(body)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("event", Event)
async def test_each_event_arrives_as_committed(channel: WebhookChannel, inbox: Inbox, event: Event) -> None:
    assert await channel.send(message(event), None) is None
    assert await channel.send(message(event), "kept") == "kept"
    received = inbox.of("webhook")[0]
    assert dict(received.raw) == json.loads(webhook.encode(message(event)))
    same_as_golden(GOLDEN / f"{event}.json", _written(message(event)))


@pytest.mark.parametrize("name", AWKWARD)
async def test_awkward_messages_arrive_as_committed(channel: WebhookChannel, inbox: Inbox, name: str) -> None:
    message = TEMPLATES.render(AWKWARD[name])
    await channel.send(message, None)
    assert (inbox.of("webhook")[0].title, inbox.of("webhook")[0].text) == (message.title, message.body)
    same_as_golden(GOLDEN / "awkward" / file_name(name, ".json"), _written(message))


@pytest.mark.parametrize("name", AWKWARD)
def test_every_event_keeps_to_the_limits_with_awkward_data(name: str) -> None:
    for event in Event:
        check_webhook(webhook.encode(TEMPLATES.render(replace(AWKWARD[name], event=event))))


def test_the_page_shows_what_is_sent() -> None:
    shown = re.search(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown
    assert json.loads(shown[1]) == json.loads(webhook.encode(message(Event.OPENED)))
    keys = {*json.loads(shown[1]), *json.loads(shown[1])["incident"]}
    assert [key for key in keys if f"`{key}`" not in PAGE.read_text()] == []


def test_what_else_tells_incidents_apart_is_sent_by_name() -> None:
    opened = message(Event.OPENED)
    told = replace(opened, incident=replace(opened.incident, correlation={"region": "eu\x07\nwest"}))
    assert json.loads(webhook.encode(told))["incident"]["correlation"] == {"region": "eu west"}


def test_the_signature_is_over_time_and_body_with_each_secret() -> None:
    def expected(secret: str) -> str:
        return hmac.new(secret.encode(), b"1777644310.body", hashlib.sha256).hexdigest()

    signed = signature(b"body", (Masked("new"), Masked("old")), NOW)
    assert signed == f"t=1777644310,v1={expected('new')},v1={expected('old')}"


async def test_while_a_secret_is_replaced_receivers_of_either_take_the_message(served: Serving, inbox: Inbox) -> None:
    settings = _settings(served, secret="brand-new-secret-of-theirs", previous_secret=WEBHOOK_SECRET)
    channel = WebhookChannel("tools", settings)
    await channel.send(message(), None)
    await channel.close()
    assert len(inbox.of("webhook")) == 1


async def test_a_wrong_secret_is_told_as_credentials(served: Serving, inbox: Inbox) -> None:
    channel = WebhookChannel("tools", _settings(served, secret="not-the-secret-of-theirs"))
    with pytest.raises(DeliveryError, match="credentials: HTTP 401") as raised:
        await channel.send(message(), None)
    await channel.close()
    assert not raised.value.again
    assert not inbox.received


def test_a_message_sent_again_bears_the_same_id_and_another_another() -> None:
    assert message().id == message().id
    later = TEMPLATES.render(replace(story(Event.OPENED), at=NOW + timedelta(seconds=1)))
    others = [message(event) for event in Event if event is not Event.OPENED]
    assert message().id not in {one.id for one in (later, *others)}


async def test_two_headers_bear_the_id_too() -> None:
    headers: list[CIMultiDictProxy[str]] = []

    async def take(request: web.Request) -> web.Response:
        headers.append(request.headers)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app) as server:
        settings = {"kind": "webhook", "url": str(server.make_url("/")), "secret": WEBHOOK_SECRET}
        channel = WebhookChannel("tools", WebhookSettings.model_validate(settings))
        await channel.send(message(), None)
        await channel.close()
    assert {headers[0][name] for name in ("Deploywatch-Delivery", "Idempotency-Key")} == {message().id}


@pytest.mark.parametrize(
    ("answer", "reason", "again"),
    [
        (Answer(301, "", headers={"Location": "https://elsewhere.example/"}), "rejected", False),
        (Answer(302, "", headers={"Location": "/webhook"}), "rejected", False),
        (Answer(307, "", headers={"Location": "/webhook"}), "rejected", False),
        (Answer(400, "bad"), "rejected", False),
        (Answer(401, ""), "credentials", False),
        (Answer(403, ""), "credentials", False),
        (Answer(404, ""), "rejected", False),
        (Answer(408, ""), "timeout", True),
        (Answer(410, ""), "rejected", False),
        (Answer(413, ""), "rejected", False),
        (Answer(429, ""), "rate_limited", True),
        (Answer(500, "x" * 100_000), "server", True),
        (Answer(502, "<html>"), "server", True),
        (Answer(503, ""), "server", True),
        (Answer(reset=True), "connection", True),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else str(value),
)
async def test_each_failure_has_a_reason_and_says_whether_to_try_again(
    channel: WebhookChannel, inbox: Inbox, answer: Answer, reason: str, again: bool
) -> None:
    inbox.script("webhook", answer)
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    assert (raised.value.reason, raised.value.again) == (reason, again)
    assert len(raised.value.detail) < 400
    assert inbox.calls == ["webhook"], "the queue retries, not the channel, and no redirect is followed"
    assert not inbox.received


SIGN_IN, HTML = "<!DOCTYPE html><html>Sign in to the network</html>", {"Content-Type": "text/html; charset=utf-8"}


async def test_a_page_for_a_browser_is_no_success(channel: WebhookChannel, inbox: Inbox) -> None:
    inbox.script("webhook", Answer(200, SIGN_IN, HTML))
    with pytest.raises(DeliveryError, match="as of a proxy that wants a sign-in") as raised:
        await channel.send(message(), None)
    assert (raised.value.reason, raised.value.again, raised.value.unsure) == ("server", True, True)


@pytest.mark.parametrize(("text", "more"), [("ok", {}), ("", {}), (SIGN_IN, {"answers_pages": True})])
async def test_a_word_that_is_called_html_is_good_and_so_is_a_page_where_it_is_expected(
    served: Serving, inbox: Inbox, text: str, more: dict[str, bool]
) -> None:
    inbox.script("webhook", Answer(200, text, HTML))
    settings = {"kind": "webhook", "url": served.webhook_url, "secret": WEBHOOK_SECRET, **more}
    channel = WebhookChannel("tools", WebhookSettings.model_validate(settings))
    assert await channel.send(message(), "kept") == "kept"
    await channel.close()


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_success_is_good(channel: WebhookChannel, inbox: Inbox, status: int) -> None:
    inbox.script("webhook", Answer(status, ""))
    assert await channel.send(message(), "kept") == "kept"


async def test_a_rate_limit_says_how_long_to_wait(channel: WebhookChannel, inbox: Inbox) -> None:
    inbox.script("webhook", Answer(503, "", headers={"Retry-After": "7"}))
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    assert raised.value.after == timedelta(seconds=7)


async def test_a_slow_answer_is_a_timeout(served: Serving, inbox: Inbox) -> None:
    inbox.script("webhook", Answer(wait=True))
    channel = WebhookChannel("tools", _settings(served, timeout="200ms"))
    with pytest.raises(DeliveryError, match=r"timeout: no answer within 0\.2 s") as raised:
        await channel.send(message(), None)
    await channel.close()
    assert raised.value.again


async def test_no_server_is_a_connection_failure_that_hides_the_url(served: Serving) -> None:
    channel = WebhookChannel("tools", _settings(served, url="http://127.0.0.1:1/hooks/t0p-secret"))
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    await channel.close()
    assert (raised.value.reason, raised.value.again) == ("connection", True)
    assert "t0p-secret" not in str(raised.value)


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    channel: WebhookChannel, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await channel.send(message(), None)
    assert len(inbox.of("webhook")) == 1
