"""A stored event as CloudEvents 1.0: one JSON document (structured mode), or headers and data (binary mode, Kafka).

The data is a whole CDEvent, as the binding of CDEvents to CloudEvents asks for.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.rendering.text import cut
from deploywatch.terminal import clean

STRUCTURED: Final = "application/cloudevents+json; charset=utf-8"
CLOUDEVENTS: Final = "1.0"
CDEVENTS: Final = "0.5.1"
MOST_TEXT: Final = 4000
"""Characters of a text; a broker takes no message of a megabyte, and would refuse the event for ever."""
_LINE_ENDS: Final = re.compile(r"\s*\n\s*")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the outbox; `data` has the subject's `content`, and what else is known as `custom`."""

    id: int
    at: datetime
    recorded_at: datetime
    type: EventType
    source: str
    service: str
    environment: str
    subject: str
    data: dict[str, Any]

    @property
    def event_id(self) -> str:
        """The same whenever it is sent; of another row, also in a store that was begun anew, another."""
        # Row numbers begin at 1 again in a new store, and consumers remember ids for weeks.
        return f"{self.id}-{int(self.recorded_at.timestamp() * 1000)}"

    @property
    def key(self) -> str:
        """What it is ordered by, and its key in Kafka."""
        return f"{self.service}/{self.environment}"


def structured(event: StoredEvent) -> bytes:
    """The event as one JSON document."""
    return json.dumps({**_attributes(event), "datacontenttype": "application/json", "data": cdevent(event)}).encode()


def binary(event: StoredEvent) -> tuple[list[tuple[str, bytes]], bytes]:
    """The event's attributes as Kafka's headers, and its data."""
    headers = [(f"ce_{name}", value.encode()) for name, value in _attributes(event).items()]
    return [*headers, ("content-type", b"application/json")], json.dumps(cdevent(event)).encode()


def cdevent(event: StoredEvent) -> dict[str, Any]:
    """The event as CDEvents defines it."""
    context = {
        "specversion": CDEVENTS,
        "id": event.event_id,
        "source": event.source,
        "type": str(event.type),
        "timestamp": _time(event.at),
    }
    subject = {"id": event.subject, "source": event.source, "content": event.data["content"]}
    custom = {"customData": event.data["custom"], "customDataContentType": "application/json"}
    whole = {"context": context, "subject": subject, **(custom if event.data.get("custom") else {})}
    inert: dict[str, Any] = _inert(whole)
    return inert


def _attributes(event: StoredEvent) -> dict[str, str]:
    attributes: dict[str, str] = _inert(
        {
            "specversion": CLOUDEVENTS,
            "id": event.event_id,
            "source": event.source,
            "type": str(event.type),
            "subject": event.subject,
            "time": _time(event.at),
        }
    )
    return attributes


def _inert(value: Any) -> Any:
    """Every text on one line, bounded, and without what is not seen: whoever takes events prints them, too."""
    match value:
        case str():
            return cut(_LINE_ENDS.sub(" ", clean(value)), MOST_TEXT)
        case dict():
            return {name: _inert(part) for name, part in value.items()}
        case list() | tuple():
            return [_inert(part) for part in value]
    return value


def _time(at: datetime) -> str:
    """RFC 3339, in UTC."""
    # Both are RFC 3339; some consumers read only the Z.
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
