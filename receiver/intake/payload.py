"""What Alertmanager posts, version 4: read into alerts, or refused with what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from sys import intern
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from deploywatch.clock import UtcTime, in_utc
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake import bodies
from deploywatch.receiver.intake.bodies import BodyError

_FAULTS_LIMIT = 64 * 1024
_FAULT_LENGTH = 500
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_REMEMBERED_ALERTS, _SHORT_ALERT = 10_000, 2048
"""Alerts whose reading is remembered, and the bytes of the longest of them; some 20 MB."""
_REMEMBERED_BODIES, _SHORT_BODY = 1000, 16 * 1024
"""The same of whole bodies; 16 MB at most."""
_NEVER = 1  # the year of Alertmanager's "no end yet"


class _AlertPayload(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: Annotated[UtcTime, Field(alias="startsAt")]
    ends_at: Annotated[UtcTime | None, Field(alias="endsAt")] = None
    generator_url: Annotated[str, Field(alias="generatorURL")] = ""
    fingerprint: Annotated[str, Field(min_length=1, max_length=100)]


class Payload(BaseModel):
    """The body of a webhook; fields that we do not know are ignored, because payloads gain some over time."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal["4"]
    alerts: tuple[_AlertPayload, ...]
    truncated_alerts: Annotated[int, Field(alias="truncatedAlerts")] = 0


class _QuickAlert(msgspec.Struct, gc=False):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="startsAt")
    ends_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = msgspec.field(name="endsAt", default=None)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    generator_url: str = msgspec.field(name="generatorURL", default="")


class _QuickPayload(msgspec.Struct, gc=False):
    """What `Payload` is, read in a quarter of the time, its alerts not yet."""

    version: Literal["4"]
    alerts: list[msgspec.Raw]
    truncated_alerts: int = msgspec.field(name="truncatedAlerts", default=0)


_QUICK_ALERT = msgspec.json.Decoder(_QuickAlert)
_QUICK = msgspec.json.Decoder(_QuickPayload)
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class RejectedError(Exception):
    """The body can never be right; the text says what is wrong with it."""


def understand(body: bytes, received_at: datetime) -> Delivery:
    """Read a body; RejectedError says with JSON paths what is wrong."""
    alerts, truncated, digest = repeated(body) if len(body) <= _SHORT_BODY else _understood(body)
    return Delivery(received_at, body, alerts, truncated, digest)


@lru_cache(maxsize=_REMEMBERED_BODIES)
def repeated(body: bytes) -> tuple[tuple[Alert, ...], int, bytes]:
    """A body, read once: Alertmanager repeats a group byte by byte until something changes."""
    return _understood(body)


def _understood(body: bytes) -> tuple[tuple[Alert, ...], int, bytes]:
    """The alerts, how many were left out, and the body's digest."""
    digest = sha256(body, usedforsecurity=False).digest()
    try:
        quick = _QUICK.decode(body)
        return _read_all(quick.alerts), quick.truncated_alerts, digest
    except _UNREADABLE as first:
        # The quick reader stops at the first fault; the other finds all of them, each of which costs a kilobyte.
        if len(body) > _FAULTS_LIMIT:
            raise RejectedError(f"not an Alertmanager webhook of version 4: {_told(first)}") from first
        try:
            whole = bodies.read(body, Payload)
        except BodyError as error:
            raise RejectedError(f"not an Alertmanager webhook of version 4: {error}") from error
        return tuple(_without_nul(_alert(alert)) for alert in whole.alerts), whole.truncated_alerts, digest


def _read_all(raws: Iterable[msgspec.Raw]) -> tuple[Alert, ...]:
    alerts: list[Alert] = []
    try:
        alerts.extend(remembered(raw) if len(raw) <= _SHORT_ALERT else _read(raw) for raw in map(bytes, raws))
    except _UNREADABLE as error:
        fault, at, path = str(error).partition(" - at `$")
        raise ValueError(f"{fault} - at `$.alerts[{len(alerts)}]{path if at else '`'}") from error
    return tuple(alerts)


def _read(raw: bytes) -> Alert:
    alert = _alert(_QUICK_ALERT.decode(raw))
    return _without_nul(alert) if b"\\u0000" in raw else alert


@lru_cache(maxsize=_REMEMBERED_ALERTS)
def remembered(raw: bytes) -> Alert:
    """One alert, read once: Alertmanager sends a group's alerts again, byte by byte, whenever one of them changes."""
    return _read(raw)


def _told(fault: Exception) -> str:
    """The fault in a line, which may quote from the body; what would be put in quarantine and shown is printable."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(fault)[:_FAULT_LENGTH])


def _alert(payload: _AlertPayload | _QuickAlert) -> Alert:
    starts_at, ends_at = payload.starts_at, payload.ends_at
    if starts_at.tzinfo is not UTC:
        starts_at = in_utc(starts_at)
    if ends_at and ends_at.tzinfo is not UTC:
        ends_at = in_utc(ends_at)
    firing = payload.status == "firing"
    ended = not firing and ends_at is not None and ends_at.year > _NEVER
    return Alert(
        payload.fingerprint,
        firing,
        starts_at,
        ends_at if ended else None,
        _shared(payload.labels),
        _shared(payload.annotations),
        intern(payload.generator_url),
    )


def _shared(texts: dict[str, str]) -> dict[str, str]:
    """With each text in memory once, however many alerts of a storm have it."""
    return {name: intern(text) for name, text in texts.items()}


def _without_nul(alert: Alert) -> Alert:
    """Prometheus allows any character; PostgreSQL stores every one but NUL."""
    return msgspec.structs.replace(
        alert,
        labels=_storable(alert.labels),
        annotations=_storable(alert.annotations),
        generator_url=alert.generator_url.replace("\0", _REPLACEMENT),
    )


def _storable(texts: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("\0", _REPLACEMENT): text.replace("\0", _REPLACEMENT) for name, text in texts.items()}
