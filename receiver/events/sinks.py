"""Where events go: one connection for each configured sink, renewed when the configuration is loaded again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from deploywatch.receiver.channels.signed_post import SignedPost
from deploywatch.receiver.events.cloudevent import STRUCTURED, StoredEvent, structured
from deploywatch.receiver.events.kafka import KafkaSink
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.receiver.settings.events import Events, KafkaSettings


class Sink(Protocol):
    """Takes events."""

    async def send(self, event: StoredEvent) -> None:
        """Hand an event over, and come back when it is taken for certain. Raises DeliveryError."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class WebhookSink:
    """Posts each event in structured mode, signed as the generic webhook's messages are."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._posts = SignedPost(settings)

    async def send(self, event: StoredEvent) -> None:
        """Post it. Raises DeliveryError."""
        await self._posts.post(structured(event), delivery=event.event_id, headers={"Content-Type": STRUCTURED})

    async def close(self) -> None:
        """Close the connections."""
        await self._posts.close()


class Sinks:
    """The sinks of a configuration, by name."""

    def __init__(self, settings: Events) -> None:
        self._sinks = _connected(settings)

    def get(self, name: str) -> Sink | None:
        """The sink of this name; None when the configuration has it no longer."""
        return self._sinks.get(name)

    async def renew(self, settings: Events) -> None:
        """Take over another configuration; what is under way ends first."""
        # Exchanged first: what comes meanwhile goes by the new configuration.
        before, self._sinks = self._sinks, _connected(settings)
        for sink in before.values():
            await sink.close()

    async def close(self) -> None:
        """Close every connection."""
        for sink in self._sinks.values():
            await sink.close()


def _connected(settings: Events) -> Mapping[str, Sink]:
    """No connection is opened before the first event."""
    return {
        name: KafkaSink(sink) if isinstance(sink, KafkaSettings) else WebhookSink(sink)
        for name, sink in settings.sinks.items()
    }
