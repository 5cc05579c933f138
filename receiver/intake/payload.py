"""What Alertmanager posts, version 4: read into alerts, or refused with what is wrong with it."""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from sys import intern
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from deploywatch.clock import UtcTime, in_utc
from deploywatch.conventions import AlertAnnotation
from deploywatch.receiver.alert import GRAFANA, Alert, labelled, source, within
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake import bodies
from deploywatch.receiver.intake.bodies import BodyError

R = TypeVar("R")
Steps = Generator[None, None, R]
"""Work in steps, between which another may be done."""

# pydantic names every fault with its path, at a kilobyte of memory each: of a large body the quick reader's first has
# to do.
_FAULTS_LIMIT = 64 * 1024
_FAULT_LENGTH = 500
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_REMEMBERED_ALERTS, _SHORT_ALERT = 10_000, 2048
"""Alerts whose reading is remembered, and the bytes of the longest of them; some 20 MB."""
_REMEMBERED_BODIES, _SHORT_BODY = 1000, 16 * 1024
"""The same of whole bodies; 16 MB at most."""
# Fewer than alerts: those of one group mostly differ in their values only, or not at all.
_REMEMBERED_ANNOTATIONS = 1000
_MOST_FAULTS = 50
_ALERT_COST, _MENDING_COST, _STEP_COST = 256, 8 * 1024, 64 * 1024
"""What reading takes, in bytes of JSON: an alert beside its length, one that has to be mended, and one step."""
# About a millisecond, after which others have their turn.
_LABELLED_AT_ONCE = 200
_FINGERPRINT_LIMIT = 100
_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_NEVER = 1  # the year of Alertmanager's "no end yet"


class _AlertPayload(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: Annotated[UtcTime, Field(alias="startsAt")]
    ends_at: Annotated[UtcTime | None, Field(alias="endsAt")] = None
    generator_url: Annotated[str, Field(alias="generatorURL")] = ""
    dashboard_url: Annotated[str, Field(alias="dashboardURL")] = ""
    panel_url: Annotated[str, Field(alias="panelURL")] = ""
    silence_url: Annotated[str, Field(alias="silenceURL")] = ""
    values: dict[str, float] | None = None
    fingerprint: Annotated[str, Field(min_length=1, max_length=_FINGERPRINT_LIMIT)]


class _Envelope(BaseModel):
    """The body around the alerts, read where the quick reader found a fault: this one names all of them."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal["4", "1"]
    alerts: list[Any]
    truncated_alerts: Annotated[int, Field(alias="truncatedAlerts")] = 0


class _QuickAlert(msgspec.Struct, gc=False):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=_FINGERPRINT_LIMIT)]
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="startsAt")
    ends_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = msgspec.field(name="endsAt", default=None)
    # Left as bytes: the alerts of a storm have the same ones over and over, and these are read once.
    annotations: msgspec.Raw = msgspec.Raw(b"{}")
    generator_url: str = msgspec.field(name="generatorURL", default="")
    # Grafana's own webhook has these as well.
    dashboard_url: str = msgspec.field(name="dashboardURL", default="")
    panel_url: str = msgspec.field(name="panelURL", default="")
    silence_url: str = msgspec.field(name="silenceURL", default="")
    values: dict[str, float] | None = None


class _QuickPayload(msgspec.Struct, gc=False):
    """The body of a webhook, its alerts not read yet; fields that we do not know are ignored, as payloads gain some.

    Version 4 is Alertmanager's, 1 is Grafana's own.
    """

    version: Literal["4", "1"]
    alerts: list[msgspec.Raw]
    truncated_alerts: int = msgspec.field(name="truncatedAlerts", default=0)


_TEXTS = msgspec.json.Decoder(dict[str, str])
_QUICK_ALERT = msgspec.json.Decoder(_QuickAlert)
_QUICK = msgspec.json.Decoder(_QuickPayload)
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class RejectedError(Exception):
    """The body can never be right; the text says what is wrong with it."""


def understand(body: bytes, received_at: datetime, labels: Mapping[str, str] = _NO_LABELS) -> Delivery:
    """Read a body; RejectedError says with JSON paths what is wrong, where nothing of it can be taken in.

    `labels` are those of the source, which each of its alerts bears.
    """
    return _result(_steps(body, received_at, labels))


async def understand_in_turns(body: bytes, received_at: datetime, labels: Mapping[str, str]) -> Delivery:
    """Do as `understand`, and let others have their turn of the event loop meanwhile: 30 MB take half a second."""
    steps = _steps(body, received_at, labels)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("Delivery", end.value)
        await asyncio.sleep(0)


def _result(steps: Steps[R]) -> R:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("R", end.value)


def _steps(body: bytes, received_at: datetime, labels: Mapping[str, str]) -> Steps[Delivery]:
    read = repeated(body) if len(body) <= _SHORT_BODY else (yield from _reading(body))
    alerts, digest = read.alerts, read.digest
    if labels:
        own: list[Alert] = []
        for number, alert in enumerate(alerts, start=1):
            own.append(labelled(alert, labels))
            if number % _LABELLED_AT_ONCE == 0:
                yield
        alerts = tuple(own)
        # The same body from another source is about other alerts.
        digest = sha256(digest + source(labels).encode(), usedforsecurity=False).digest()
    return Delivery(received_at, body, alerts, read.truncated, digest, read.rejected)


class Read(NamedTuple):
    """A body, read: its alerts, how many were left out, what names it, and which alerts could not be read."""

    alerts: tuple[Alert, ...]
    truncated: int
    digest: bytes
    rejected: tuple[str, ...] = ()


@lru_cache(maxsize=_REMEMBERED_BODIES)
def repeated(body: bytes) -> Read:
    """A body, read once: Alertmanager repeats a group byte by byte until something changes."""
    return _result(_reading(body))


def _reading(body: bytes) -> Steps[Read]:
    """Read a body in steps of some milliseconds."""
    # Only to know it again; yet SHA-256, since whoever sends two bodies with one digest would have the second
    # ignored.
    digest = sha256(body, usedforsecurity=False).digest()
    try:
        # Some senders on Windows begin with a byte order mark.
        quick = _QUICK.decode(body.removeprefix(BOM_UTF8))
    except _UNREADABLE as error:
        raise RejectedError(f"not an Alertmanager webhook of version 4: {_all_faults(body, error)}") from error
    alerts: list[Alert] = []
    faults: list[str] = []
    cost = 0
    for number, raw in enumerate(map(bytes, quick.alerts)):
        cost += _ALERT_COST + len(raw)
        try:
            alerts.append(remembered(raw) if len(raw) <= _SHORT_ALERT else _read(raw))
        except _UNREADABLE as error:
            cost += _MENDING_COST
            _mend(raw, number, error, alerts, faults)
        if cost >= _STEP_COST:
            cost = 0
            yield
    if quick.version == "1":
        # Grafana's fingerprints are another hash of the same labels, and may be equal to one of Alertmanager's by
        # chance.
        alerts = [msgspec.structs.replace(alert, fingerprint=within(GRAFANA, alert.fingerprint)) for alert in alerts]
    # 400 only where nothing is left: with 400 Alertmanager gives the whole webhook up.
    if faults and not alerts:
        raise RejectedError(f"not an Alertmanager webhook of version 4: {'; '.join(faults)}")
    return Read(tuple(alerts), quick.truncated_alerts, digest, tuple(faults))


def _all_faults(body: bytes, first: Exception) -> str:
    """Every fault of a body, with its path; the first alone where the body is large: each costs a kilobyte."""
    if len(body) > _FAULTS_LIMIT:
        return _told(first)
    try:
        bodies.read(body, _Envelope)
    except BodyError as error:
        return str(error)
    return _told(first)


def _mend(raw: bytes, number: int, first: Exception, alerts: list[Alert], faults: list[str]) -> None:
    """Read an alert that is not as documented: what is harmless is mended, what is not is said with its place.

    One bad alert does not keep the others out.
    """
    if len(raw) > _FAULTS_LIMIT or len(faults) >= _MOST_FAULTS:
        fault, at, path = str(first).partition(" - at `$")
        if len(faults) < _MOST_FAULTS:
            faults.append(f"$.alerts[{number}]{path.rstrip('`') if at else ''}: {_told(ValueError(fault))}")
        elif len(faults) == _MOST_FAULTS:
            faults.append("and more")
        return
    try:
        alerts.append(_without_nul(_alert(bodies.read(_mended(raw), _AlertPayload))))
    except (BodyError, *_UNREADABLE) as error:
        kinds = error.faults if isinstance(error, BodyError) else [f"$: Invalid JSON: {_told(error)}"]
        faults.extend(f"$.alerts[{number}]{fault.removeprefix('$')}" for fault in kinds)


def _mended(raw: bytes) -> bytes:
    """The alert with what other senders write where it says nothing of whether, what and since when something fires.

    Values become texts, and what is to tell people something is told as it stands, lest an alert be lost for it.
    """
    alert = msgspec.json.decode(raw)
    if not isinstance(alert, dict):
        return raw
    if "labels" in alert:
        alert["labels"] = _texts(alert["labels"], within="")
    alert["annotations"] = _texts(alert.get("annotations"), within=AlertAnnotation.DESCRIPTION)
    for name in ("generatorURL", "dashboardURL", "panelURL", "silenceURL"):
        alert[name] = _text(alert.get(name)) or ""
    if isinstance(status := alert.get("status"), str):
        # What is in doubt here is a spelling, not whether it fires.
        alert["status"] = status.strip().lower()
    alert["endsAt"] = _end(alert.get("endsAt"))
    _mend_values(alert)
    _mend_fingerprint(alert)
    return msgspec.json.encode(alert)


def _texts(given: object, *, within: str) -> object:
    """Names with texts; what has no names stands under the name `within`, and stays what it is without one."""
    if given is None:
        return {}
    if isinstance(given, dict):
        return {name: text for name, value in given.items() if (text := _text(value)) is not None}
    return {within: _text(given)} if within else given


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _end(value: object) -> object:
    """The end as it is said, where that is a time: an alert fires or not by its status alone."""
    try:
        return value if isinstance(value, str) and in_utc(datetime.fromisoformat(value)) else None
    except (ValueError, OverflowError):
        return None


def _mend_values(alert: dict[str, Any]) -> None:
    """Values that are not all numbers become the annotation that they stand for."""
    values = alert.get("values")
    numbers = isinstance(values, dict) and all(type(number) in (int, float) for number in values.values())
    if values is None or numbers:
        return
    named = values.items() if isinstance(values, dict) else [("", values)]
    text = ", ".join(f"{name}={_text(value)}" if name else str(_text(value)) for name, value in named)
    alert["values"] = None
    if isinstance(alert["annotations"], dict):
        alert["annotations"].setdefault(AlertAnnotation.VALUE, text)


def _mend_fingerprint(alert: dict[str, Any]) -> None:
    """A fingerprint that is missing follows from the labels; one that is no text, or too long, from what it is."""
    fingerprint = _text(alert.get("fingerprint"))
    if fingerprint and len(fingerprint) > _FINGERPRINT_LIMIT:
        fingerprint = sha256(fingerprint.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    if not fingerprint and isinstance(alert.get("labels"), dict):
        # As Alertmanager's own fingerprint separates names and values, so that no two sets of labels read alike.
        named = "\xff".join(f"{name}\xff{value}" for name, value in sorted(alert["labels"].items()))
        fingerprint = sha256(named.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:16]
    if fingerprint:
        alert["fingerprint"] = fingerprint


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
    # Nearly all are UTC already, and converting costs as much as reading.
    if starts_at.tzinfo is not UTC:
        starts_at = in_utc(starts_at)
    if ends_at and ends_at.tzinfo is not UTC:
        ends_at = in_utc(ends_at)
    firing = payload.status == "firing"
    annotations = _annotations_of(payload) if isinstance(payload, _QuickAlert) else _shared(payload.annotations)
    # Of what fires, endsAt is only when Alertmanager would time it out.
    ended = not firing and ends_at is not None and ends_at.year > _NEVER
    return Alert(
        payload.fingerprint,
        firing,
        starts_at,
        ends_at if ended else None,
        _shared(payload.labels),
        _with_links(annotations, payload),
        intern(payload.generator_url),
    )


def _annotations_of(payload: _QuickAlert) -> dict[str, str]:
    raw = bytes(payload.annotations)
    return same_annotations(raw) if len(raw) <= _SHORT_ALERT else _read_annotations(raw)


@lru_cache(maxsize=_REMEMBERED_ANNOTATIONS)
def same_annotations(raw: bytes) -> dict[str, str]:
    """Annotations, read once: the alerts of a group often have the same, and then share them."""
    return _read_annotations(raw)


def _read_annotations(raw: bytes) -> dict[str, str]:
    try:
        return _shared(_TEXTS.decode(raw))
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(str(error).replace("`$", "`$.annotations", 1)) from error


def _with_links(annotations: dict[str, str], payload: _AlertPayload | _QuickAlert) -> dict[str, str]:
    """The annotations, with the links and values that Grafana gives beside them."""
    if not (payload.panel_url or payload.dashboard_url or payload.silence_url or payload.values):
        return annotations
    beside = {
        AlertAnnotation.DASHBOARD_URL: payload.panel_url or payload.dashboard_url,
        "silence_url": payload.silence_url,
        AlertAnnotation.VALUE: ", ".join(f"{name}={value:g}" for name, value in (payload.values or {}).items()),
    }
    added = {name: text for name, text in beside.items() if text and name not in annotations}
    return {**annotations, **_shared(added)}


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
