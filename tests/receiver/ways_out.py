"""Every way by which the receiver asks a server that somebody else runs; each gives the error that came of asking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from pydantic import TypeAdapter

from deploywatch.access.signing_keys import RemoteKeys
from deploywatch.clock import utc_now
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.receiver.actions import posting
from deploywatch.receiver.actions.rollback.verify import look
from deploywatch.receiver.channels import connect
from deploywatch.receiver.client import Client
from deploywatch.receiver.context import Context
from deploywatch.receiver.events.cloudevent import StoredEvent
from deploywatch.receiver.events.sinks import WebhookSink
from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.executors.http import perform
from deploywatch.receiver.executors.plan import Means
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.actions.posting import Post
from deploywatch.receiver.settings.channels import AnySettings, ChannelSettings
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.receiver.settings.executors.http import Http
from deploywatch.receiver.settings.upstream import Alertmanager
from deploywatch.receiver.story import Event
from deploywatch.receiver.upstream import alertmanager
from deploywatch.receiver.verification.counting import Source
from tests.receiver.channels.stories import message

Way = Callable[[str, float], Awaitable[str]]
"""Asks the server at a URL within so many seconds; what was told when that went wrong, nothing when it went well.

Where the seconds are no setting, they are the code's own.
"""

SETTINGS: TypeAdapter[AnySettings] = TypeAdapter(ChannelSettings)


def _channel(**plain: Any) -> Way:
    async def ask(url: str, seconds: float) -> str:
        given = {key: value.replace("URL", url) if isinstance(value, str) else value for key, value in plain.items()}
        channel = connect("team", SETTINGS.validate_python(given | {"timeout": f"{seconds:g}s"}))
        try:
            with suppress(DeliveryError):
                await channel.check()
            with suppress(DeliveryError):
                await channel.find(message(Event.OPENED), "C0123456789/1.0")
            await channel.send(message(Event.OPENED), None)
        except DeliveryError as error:
            return str(error)
        finally:
            await channel.close()
        return ""

    return ask


async def _apprise(url: str, seconds: float) -> str:
    return await _channel(kind="apprise", url=f"json{url.removeprefix('http')}/?+X-Token=hunter2")(url, seconds)


async def _event(url: str, seconds: float) -> str:
    settings = {"kind": "webhook", "url": url, "secret": "0123456789abcdef", "timeout": f"{seconds:g}s"}
    sink = WebhookSink(WebhookSettings.model_validate(settings))
    at = datetime(2026, 5, 1, tzinfo=UTC)
    event = StoredEvent(
        1, at, at, next(iter(EventType)), "deploywatch", "shop", "production", "1", {"content": {}, "custom": {}}
    )
    try:
        await sink.send(event)
    except DeliveryError as error:
        return str(error)
    finally:
        await sink.close()
    return ""


async def _keys(url: str, seconds: float) -> str:
    return "" if await RemoteKeys(f"{url}/jwks.json").find("k1") else "no such key"


async def _prometheus(url: str, seconds: float) -> str:
    async with aiohttp.ClientSession(headers={"X-Scope-OrgID": "hunter2"}) as session:
        return await _told(Source(Prometheus(url, session, 1024**2), seconds).numbers("up", 0))


async def _alertmanager(url: str, seconds: float) -> str:
    server = Alertmanager.model_validate({"url": url, "headers": {"X-Token": "hunter2"}})
    async with aiohttp.ClientSession() as session:
        return await _told(alertmanager.look(session, server, "deploywatch"))


async def _health(url: str, seconds: float) -> str:
    async with aiohttp.ClientSession() as session:
        health = await look(session, url, "shop", "production", None)
    return "" if health.good else health.detail


async def _ci(url: str, seconds: float) -> str:
    settings = Http.model_validate({"url": url, "token": "hunter2", "body": {"ref": "main"}})
    async with aiohttp.ClientSession() as session:
        means, limit = Means(session, utc_now, asyncio.sleep), timedelta(seconds=seconds)
        result = await perform(settings.plan({"id": "1"}, limit), means, limit)
    return "" if result.good else result.detail


async def _ticket(url: str, seconds: float) -> str:
    settings = Post.model_validate({"url": url, "token": "hunter2", "body": {}, "timeout": f"{seconds:g}s"})
    async with aiohttp.ClientSession() as session:
        context = cast("Context", SimpleNamespace(http=session))
        return await _told(posting._send(context, settings, posting._Request("POST", url, {}, "k")))


async def _command_line(url: str, seconds: float) -> str:
    return await _told(asyncio.to_thread(Client(url, "hunter2").post, "/deployments", {"service": "shop"}))


async def _told(asking: Awaitable[object]) -> str:
    try:
        await asking
    except (DeliveryError, UnreachableError, TimeoutError) as error:
        return str(error) or type(error).__name__
    return ""


CHANNELS: dict[str, Way] = {
    "slack": _channel(kind="slack", token="xoxb-hunter2", channel="C0123456789", base_url="URL/api/"),
    "slack_webhook": _channel(kind="slack_webhook", url="URL/services/T0/B0/hunter2"),
    "teams": _channel(kind="teams", url="URL/workflows/1?sig=hunter2"),
    "discord": _channel(kind="discord", url="URL/api/webhooks/1/hunter2"),
    "telegram": _channel(kind="telegram", base_url="URL", token="1:hunter2", chat="-100"),
    "pagerduty": _channel(kind="pagerduty", routing_key="R" * 32, url="URL"),
    "opsgenie": _channel(kind="opsgenie", url="URL", api_key="hunter2"),
    "ntfy": _channel(kind="ntfy", url="URL/ntfy", topic="topic", token="hunter2"),
    "webhook": _channel(kind="webhook", url="URL/webhook", secret="0123456789abcdef"),
    "apprise": _apprise,
}
"""By kind of channel."""

WAYS: dict[str, Way] = {
    **CHANNELS,
    "events": _event,
    "signing keys": _keys,
    "Prometheus": _prometheus,
    "Alertmanager": _alertmanager,
    "exporter": _health,
    "CI": _ci,
    "ticket": _ticket,
    "command line": _command_line,
}
