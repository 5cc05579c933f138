"""A thin client of Alertmanager's API: its alerts, its silences, and for how long it has been up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import aiohttp
import msgspec

from deploywatch import responses
from deploywatch.clock import in_utc
from deploywatch.errors import UnreachableError
from deploywatch.receiver.alert import Alert, labelled, source, within
from deploywatch.receiver.settings.upstream import Alertmanager
from deploywatch.secrets import redact_url

_SECONDS = 30.0
# Of 100,000 alerts with long annotations.
_ANSWER_LIMIT = 256 * 1024**2
# Shorter, because an action waits for the answer.
_SECONDS_FOR_SILENCES = 5.0
_SUPPRESSED = "suppressed"
_SILENCED = {"silenced": "true", "inhibited": "true", "active": "false", "unprocessed": "false"}


class _AlertStatus(msgspec.Struct):
    state: str = ""
    silenced_by: list[str] = msgspec.field(name="silencedBy", default_factory=list)
    muted_by: list[str] = msgspec.field(name="mutedBy", default_factory=list)


class _Listed(msgspec.Struct):
    fingerprint: str
    labels: dict[str, str]
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="startsAt")
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    generator_url: str = msgspec.field(name="generatorURL", default="")
    status: _AlertStatus = msgspec.field(default_factory=_AlertStatus)


class _Status(msgspec.Struct):
    uptime: Annotated[datetime, msgspec.Meta(tz=True)]


class _AlertAndStatus(msgspec.Struct):
    fingerprint: str
    status: _AlertStatus


class _Group(msgspec.Struct):
    alerts: list[_AlertAndStatus] = msgspec.field(default_factory=list)


class _Silence(msgspec.Struct):
    id: str
    ends_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="endsAt")
    created_by: str = msgspec.field(name="createdBy", default="")
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one Alertmanager has: its firing alerts for our receivers, since when it runs, and its source.

    `withheld` are the fingerprints of those that it means nobody to hear of now.
    """

    alerts: tuple[Alert, ...]
    up_since: datetime
    source: str = ""
    withheld: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence, as somebody set it."""

    id: str
    ends_at: datetime
    created_by: str
    comment: str


@dataclass(frozen=True, slots=True)
class Silenced:
    """What one Alertmanager silences: by fingerprint the numbers of the silences, and the silences themselves."""

    alerts: Mapping[str, tuple[str, ...]]
    silences: Mapping[str, Silence]


async def look(http: aiohttp.ClientSession, server: Alertmanager, receiver: str) -> Seen:
    """Ask one Alertmanager; UnreachableError when it gives no good answer.

    Silenced and inhibited alerts count as firing, as that people do not hear of them does not end them, and are
    `withheld`; what a route mutes by time this answer does not say (`muted`).
    """
    # Of our receiver alone: what is routed elsewhere was never meant for us, and would look lost.
    alerts = await _get(http, server, "/api/v2/alerts", list[_Listed], {"receiver": receiver})
    status = await _get(http, server, "/api/v2/status", _Status, {})
    seen = tuple(labelled(_alert(alert), server.labels) for alert in alerts)
    withheld = (ours.fingerprint for ours, alert in zip(seen, alerts, strict=True) if alert.status.state == _SUPPRESSED)
    return Seen(seen, in_utc(status.uptime), source(server.labels), frozenset(withheld))


async def muted(http: aiohttp.ClientSession, server: Alertmanager, receiver: str) -> frozenset[str]:
    """Ask one Alertmanager for the fingerprints that its routes to us mute by time, each of them; UnreachableError.

    Before 0.28 it does not say so of any.
    """
    groups = await _get(http, server, "/api/v2/alerts/groups", list[_Group], {"receiver": receiver})
    listed = [alert for group in groups for alert in group.alerts]
    heard = {alert.fingerprint for alert in listed if not alert.status.muted_by}
    known_as = source(server.labels)
    return frozenset(within(known_as, alert.fingerprint) for alert in listed if alert.fingerprint not in heard)


async def silenced(http: aiohttp.ClientSession, server: Alertmanager) -> Silenced:
    """Ask one Alertmanager which alerts it silences, and why; UnreachableError when it gives no good answer."""
    seconds = _SECONDS_FOR_SILENCES
    listed = await _get(http, server, "/api/v2/alerts", list[_AlertAndStatus], _SILENCED, seconds=seconds)
    known_as = source(server.labels)
    by_alert = {
        within(known_as, alert.fingerprint): tuple(alert.status.silenced_by)
        for alert in listed
        if alert.status.silenced_by
    }
    # Only where an alert is silenced: most looks need one request then.
    silences = await _get(http, server, "/api/v2/silences", list[_Silence], {}, seconds=seconds) if by_alert else []
    return Silenced(by_alert, {silence.id: _silence(silence) for silence in silences})


def _silence(silence: _Silence) -> Silence:
    return Silence(silence.id, in_utc(silence.ends_at), silence.created_by, silence.comment)


def _alert(alert: _Listed) -> Alert:
    return Alert(
        alert.fingerprint, True, in_utc(alert.starts_at), None, alert.labels, alert.annotations, alert.generator_url
    )


async def _get(
    http: aiohttp.ClientSession,
    server: Alertmanager,
    path: str,
    kind: Any,
    query: dict[str, str],
    *,
    seconds: float = _SECONDS,
) -> Any:
    where, limit = f"Alertmanager at {redact_url(server.url)}", aiohttp.ClientTimeout(seconds)
    try:
        address = f"{server.url.rstrip('/')}{path}"
        asked = http.get(address, params=query, timeout=limit, headers=server.asked_with, allow_redirects=False)
        async with asked as response:
            body = await responses.read_direct(response, _ANSWER_LIMIT)
            if response.status != 200:
                raise UnreachableError(f"{where} answered {path} with {response.status}")
        return msgspec.json.decode(body, type=kind)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnreachableError(f"{where} did not answer {path}: {str(error) or type(error).__name__}") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreachableError(f"{where} answered {path} with something else: {error}") from error
