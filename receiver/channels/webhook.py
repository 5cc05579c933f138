"""Generic webhook: message and incident as signed JSON, by POST to a URL of yours."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.signed_post import SignedPost
from deploywatch.receiver.messages import Message
from deploywatch.receiver.rendering.filters import web_link
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.receiver.story import Event, IncidentView

# Raised when a field changes its meaning; new fields may come at any time.
VERSION: Final = 1
"""Of the body; a key is added without a new version, none is taken away or changes its meaning."""
FIELD_LIMIT: Final = 1000


class WebhookChannel:
    """Posts each message, signed; 2xx is good, redirects are not followed."""

    def __init__(
        self, name: str, settings: WebhookSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.name = name
        self._posts = SignedPost(settings, clock=clock)

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Post the message; `reference` comes back, as every body names its incident. Raises DeliveryError."""
        await self._posts.post(encode(message), delivery=message.id, headers={"Content-Type": "application/json"})
        return reference

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Nobody can be asked; but both tries bear the same id. Raises DeliveryError."""
        raise errors.unknowable("a webhook cannot be asked what arrived")

    async def check(self) -> str:
        """Nothing that is harmless is known of a server of yours. Raises DeliveryError."""
        raise errors.unknowable("a webhook cannot be tried without a message")

    async def close(self) -> None:
        """Close the connections."""
        await self._posts.close()


def encode(message: Message) -> bytes:
    """The body, as docs/channels/webhook.md describes it; ASCII, its texts free of control characters."""
    content: dict[str, Any] = {
        "version": VERSION,
        "id": message.id,
        "event": message.event.value,
        "at": _time(message.at),
        "key": message.dedup_key,
        "title": message.title,
        "body": message.body,
        "links": [{"name": name, "url": url} for name, url in message.links],
        "expires": _time(message.expires),
        "incident": _incident(message.incident),
    }
    return json.dumps(content).encode()


def _incident(incident: IncidentView) -> dict[str, Any]:
    return {
        "id": incident.id,
        "service": line(incident.service, FIELD_LIMIT),
        "environment": line(incident.environment, FIELD_LIMIT),
        "correlation": {name: line(value, FIELD_LIMIT) for name, value in incident.correlation.items()},
        "severity": line(incident.severity, FIELD_LIMIT),
        "status": line(incident.status, FIELD_LIMIT),
        "type": line(incident.type, FIELD_LIMIT),
        "title": line(incident.title, FIELD_LIMIT),
        "opened_at": _time(incident.opened_at),
        "acknowledged_at": _time(incident.acknowledged_at),
        "acknowledged_by": line(incident.acknowledged_by, FIELD_LIMIT),
        "resolved_at": _time(incident.resolved_at),
        "url": web_link(incident.url),
    }


def _time(at: datetime | None) -> str | None:
    """RFC 3339, in UTC."""
    if at is None:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat().replace("+00:00", "Z")
