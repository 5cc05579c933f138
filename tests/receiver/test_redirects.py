"""Whoever we ask may send us on: nothing that we would say goes to where nobody configured it, by any way out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import product
from typing import Any, get_args

import pytest
from aiohttp import web
from pydantic import TypeAdapter

from deploywatch.access.signing_keys import RemoteKeys
from deploywatch.receiver.channels import KINDS, connect
from deploywatch.receiver.events.cloudevent import StoredEvent
from deploywatch.receiver.events.sinks import WebhookSink
from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.channels import AnySettings, ChannelSettings
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.receiver.story import Event
from tests.receiver.channels.stories import message

SETTINGS: TypeAdapter[AnySettings] = TypeAdapter(ChannelSettings)
STATUSES = (302, 307)
"""One after which a library asks by GET, and one after which it sends the same body again."""


def _channel(**plain: Any) -> Callable[[str], Awaitable[None]]:
    async def ask(url: str) -> None:
        given = {key: value.replace("URL", url) if isinstance(value, str) else value for key, value in plain.items()}
        channel = connect("team", SETTINGS.validate_python(given | {"timeout": "20s"}))
        try:
            with pytest.raises(DeliveryError):
                await channel.send(message(Event.OPENED), None)
            with suppress(DeliveryError):
                await channel.check()
            with suppress(DeliveryError):
                await channel.find(message(Event.OPENED), "C0123456789/1.0")
        finally:
            await channel.close()

    return ask


async def _event(url: str) -> None:
    sink = WebhookSink(WebhookSettings.model_validate({"kind": "webhook", "url": url, "secret": "0123456789abcdef"}))
    at = datetime(2026, 5, 1, tzinfo=UTC)
    event = StoredEvent(
        1, at, at, next(iter(EventType)), "deploywatch", "shop", "production", "1", {"content": {}, "custom": {}}
    )
    with pytest.raises(DeliveryError):
        await sink.send(event)
    await sink.close()


async def _keys(url: str) -> None:
    assert await RemoteKeys(f"{url}/jwks.json").find("k1") is None


WAYS: dict[str, Callable[[str], Awaitable[None]]] = {
    "slack": _channel(kind="slack", token="xoxb-hunter2", channel="C0123456789", base_url="URL/api/"),
    "slack_webhook": _channel(kind="slack_webhook", url="URL/services/T0/B0/hunter2"),
    "teams": _channel(kind="teams", url="URL/workflows/1?sig=hunter2"),
    "discord": _channel(kind="discord", url="URL/api/webhooks/1/hunter2"),
    "telegram": _channel(kind="telegram", base_url="URL", token="1:hunter2", chat="-100"),
    "pagerduty": _channel(kind="pagerduty", routing_key="R" * 32, url="URL"),
    "opsgenie": _channel(kind="opsgenie", url="URL", api_key="hunter2"),
    "ntfy": _channel(kind="ntfy", url="URL/ntfy", topic="topic", token="hunter2"),
    "webhook": _channel(kind="webhook", url="URL/webhook", secret="0123456789abcdef"),
    "apprise": _channel(kind="apprise", url="jsonURL/?+X-Token=hunter2"),
    "events": _event,
    "signing keys": _keys,
}


@pytest.fixture
async def stranger() -> AsyncIterator[tuple[Callable[[int], str], list[str]]]:
    """The address of a server that sends everybody on, by status, and what the server that it leads to was sent."""
    seen: list[str] = []

    async def listen(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.path_qs} {dict(request.headers)} {await request.text()}")
        return web.json_response({"ok": True, "keys": [], "channel": "C1", "ts": "1.0", "messages": []})

    async def send_on(request: web.Request) -> web.Response:
        status, path = re.fullmatch(r"/(\d{3})(/.*)?", request.path).groups()  # type: ignore[union-attr]
        return web.Response(status=int(status), headers={"Location": f"http://127.0.0.1:{ports[0]}{path or '/'}"})

    runners, ports = [], []
    for handler in (listen, send_on):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        ports.append(runners[-1].addresses[0][1])
    yield lambda status: f"http://127.0.0.1:{ports[1]}/{status}", seen
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize(("way", "status"), list(product(WAYS, STATUSES)))
async def test_nothing_goes_to_where_a_redirect_leads(
    stranger: tuple[Callable[[int], str], list[str]], way: str, status: int
) -> None:
    address, seen = stranger
    await WAYS[way](address(status).removeprefix("http" if way == "apprise" else ""))
    assert seen == []


def test_each_kind_of_channel_that_asks_by_http_is_tried() -> None:
    kinds = {get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS}
    assert kinds - {"email"} == set(WAYS) - {"events", "signing keys"}
