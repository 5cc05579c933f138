"""Deployment events of CDEvents, as CloudEvents over HTTP: structured, binary, or several in a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from pydantic import Field

from deploywatch import json_text
from deploywatch.clock import UtcTime
from deploywatch.receiver.announcements.announced import Announced, Ignored, MalformedError, Payload, Text, told
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.intake import bodies
from deploywatch.receiver.intake.bodies import BodyError
from deploywatch.receiver.settings.announcements import Announcements

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
_DEPLOYS: Final = ("dev.cdevents.service.deployed.", "dev.cdevents.service.upgraded.")
_BACK: Final = "dev.cdevents.service.rolledback."
_MOST: Final = 1000


class _Context(Payload):
    type: str
    source: str
    timestamp: UtcTime


class _Environment(Payload):
    id: Text


class _Content(Payload):
    environment: _Environment
    artifact: str = Field(alias="artifactId", max_length=1000)


class _Subject(Payload):
    id: Text
    content: _Content


class _Event(Payload):
    context: _Context
    subject: _Subject
    custom: Any = Field(default=None, alias="customData")


class _Kind(Payload):
    context: _Context


def bodies_of(content_type: str, body: bytes) -> list[bytes]:
    """The CDEvents that a request brings. Raises MalformedError."""
    if content_type not in (STRUCTURED, BATCH):
        return [body]
    try:
        sent = json_text.parse(body)
    except ValueError as error:
        raise MalformedError(f"$: the body is no JSON: {error}") from error
    events = sent if content_type == BATCH else [sent]
    if not isinstance(events, list) or len(events) > _MOST or not all(isinstance(event, dict) for event in events):
        raise MalformedError(f"$: write an event, or in a batch a list of at most {_MOST}")
    for number, event in enumerate(events):
        if event.get("specversion") != "1.0" or "data" not in event:
            where = f"$[{number}]" if content_type == BATCH else "$"
            raise MalformedError(f"{where}: a CloudEvent has specversion 1.0, and the CDEvent as data")
    return [json.dumps(event["data"]).encode() for event in events]


def parse(body: bytes, names: Announcements, *, ours: str) -> Announced | Ignored:
    """What a CDEvent announces; one whose source is `ours` came from here. Raises MalformedError."""
    event = _event(body, ours)
    if isinstance(event, Ignored):
        return event
    content = event.subject.content
    version = _said(event.custom) or _version(content.artifact)
    if not version:
        raise MalformedError("$.subject.content.artifactId: a package URL with its version, such as pkg:oci/shop@1.2.4")
    return Announced(
        service=names.service(event.subject.id),
        environment=names.environment(content.environment.id),
        version=version[:200],
        status=Status.SUCCEEDED,
        at=event.context.timestamp,
        artifact=content.artifact,
        deployer=told(event.context.source),
        back=event.context.type.startswith(_BACK),
    )


def _event(body: bytes, ours: str) -> _Event | Ignored:
    try:
        context = bodies.read(body, _Kind).context
        if context.source == ours:
            return Ignored("the event is our own")
        if not context.type.startswith((*_DEPLOYS, _BACK)):
            return Ignored(f"{context.type[:80]} announces no deployment")
        return bodies.read(body, _Event)
    except BodyError as error:
        raise MalformedError("; ".join(error.faults)) from error


def _said(custom: object) -> str:
    """The version that `customData` names, which is what its sender calls it."""
    value = custom.get("version") if isinstance(custom, Mapping) else None
    return value if isinstance(value, str) else ""


def _version(artifact: str) -> str:
    """The version of a package URL; of an image, its tag where that is given."""
    if not artifact.startswith("pkg:"):
        return ""
    named, _, qualifiers = artifact.partition("#")[0].partition("?")
    tag = parse_qs(qualifiers).get("tag", [""])[0]
    path, at, version = named.rpartition("@")
    return tag or (unquote(version) if at and path else "")
