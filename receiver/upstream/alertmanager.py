"""A thin client of Alertmanager's API: its alerts, and for how long it has been up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import aiohttp
import msgspec

from deploywatch.clock import in_utc
from deploywatch.errors import UnreachableError
from deploywatch.secrets import redact_url
from receiver.incidents.rules import Alert

_SECONDS = aiohttp.ClientTimeout(total=30)


class _Listed(msgspec.Struct):
    fingerprint: str
    labels: dict[str, str]
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="startsAt")
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    generator_url: str = msgspec.field(name="generatorURL", default="")


class _Status(msgspec.Struct):
    uptime: Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one Alertmanager has: its firing alerts for our receivers, and since when it runs."""

    alerts: tuple[Alert, ...]
    up_since: datetime


async def look(http: aiohttp.ClientSession, url: str, receiver: str) -> Seen:
    """Ask one Alertmanager; UnreachableError when it gives no good answer.

    Silenced and inhibited alerts count as firing: that people do not hear of them does not end them.
    """
    alerts = await _get(http, url, "/api/v2/alerts", list[_Listed], {"receiver": receiver})
    status = await _get(http, url, "/api/v2/status", _Status, {})
    return Seen(tuple(_alert(one) for one in alerts), in_utc(status.uptime))


def _alert(one: _Listed) -> Alert:
    return Alert(one.fingerprint, True, in_utc(one.starts_at), None, one.labels, one.annotations, one.generator_url)


async def _get(http: aiohttp.ClientSession, url: str, path: str, kind: Any, query: dict[str, str]) -> Any:
    where = f"Alertmanager at {redact_url(url)}"
    try:
        async with http.get(f"{url.rstrip('/')}{path}", params=query, timeout=_SECONDS) as response:
            body = await response.read()
            if response.status != 200:
                raise UnreachableError(f"{where} answered {path} with {response.status}")
        return msgspec.json.decode(body, type=kind)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnreachableError(f"{where} did not answer {path}: {str(error) or type(error).__name__}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreachableError(f"{where} answered {path} with something else: {error}") from error
