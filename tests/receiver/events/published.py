"""What tests of events share: sinks that the configuration names, what is in the outbox, and CDEvents' own schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from sqlalchemy import Connection, select

from deploywatch.receiver.events import outbox
from deploywatch.receiver.events.cloudevent import StoredEvent, cdevent
from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.event_schema import events
from tests.receiver.scene import Scene, settings

SECRET = "a-secret-of-twenty-characters"
SCHEMAS = Path(__file__).parent / "cdevents"
_FILES = {
    EventType.DEPLOYED: "servicedeployed",
    EventType.ROLLED_BACK: "servicerolledback",
    EventType.INCIDENT_OPENED: "incidentdetected",
    EventType.INCIDENT_RESOLVED: "incidentresolved",
}


def publishing(url: str = "http://127.0.0.1:1/", **more: Any) -> ReceiverConfig:
    """A configuration that publishes to one webhook, `bus`; `more` is as in the file."""
    sinks = {"bus": {"kind": "webhook", "url": url, "secret": SECRET}}
    return settings(external_url="https://ops.example.com/", events={"sinks": sinks, **more.pop("events", {})}, **more)


async def written(scene: Scene) -> list[StoredEvent]:
    """Every event in the outbox, in its order."""

    def read(connection: Connection) -> list[StoredEvent]:
        numbers = connection.execute(select(events.c.id).order_by(events.c.id)).scalars()
        return [event for number in numbers if (event := outbox.find(connection, number))]

    found: list[StoredEvent] = await scene.read(read)
    for event in found:
        assert faults(event) == []
    return found


def faults(event: StoredEvent) -> list[str]:
    """What CDEvents' JSON schema has against an event."""
    schema = json.loads((SCHEMAS / f"{_FILES.get(event.type, 'custom')}.json").read_text())
    checked = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [error.message for error in checked.iter_errors(json.loads(json.dumps(cdevent(event))))]
