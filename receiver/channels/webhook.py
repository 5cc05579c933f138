"""Generic webhook: message and incident as signed JSON, by POST to a URL of yours."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from deploywatch import responses
from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.messages import DeliveryError, Event, IncidentView, Message
from deploywatch.receiver.rendering.filters import line, web_link
from deploywatch.receiver.settings import fields
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.secrets import Masked

VERSION: Final = 1
"""Of the body; a key is added without a new version, none is taken away or changes its meaning."""
SIGNATURE: Final = "Deploywatch-Signature"
DELIVERY: Final = "Deploywatch-Delivery"
IDEMPOTENCY: Final = "Idempotency-Key"
ANSWER_LIMIT: Final = 2048
"""Bytes of an answer that are read, to tell why it is no success."""
FIELD_LIMIT: Final = 1000


class WebhookChannel:
    """Posts each message, signed; 2xx is good, redirects are not followed."""

    def __init__(
        self, name: str, settings: WebhookSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._lifetime = Lifetime()
        self._session: aiohttp.ClientSession | None = None

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Post the message; `reference` comes back, as every body names its incident. Raises DeliveryError."""
        settings, body = self._settings, encode(message)
        headers = {
            "Content-Type": "application/json",
            DELIVERY: message.id,
            IDEMPOTENCY: message.id,
            SIGNATURE: signature(body, settings.secrets, self._clock()),
        }
        try:
            async with (
                self._lifetime.message(),
                self._client().post(
                    settings.url.get_secret_value(), data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                if not 200 <= response.status < 300:
                    raise await self._refused(response)
        except TimeoutError as error:
            raise errors.timed_out(settings.timeout.total_seconds()) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not from the error: its text may bear the URL, and that is not masked.
            raise errors.unconnected(error, (settings.url,)) from None
        return reference

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Nobody can be asked; but both tries bear the same id. Raises DeliveryError."""
        raise errors.unknowable("a webhook cannot be asked what arrived")

    async def check(self) -> str:
        """Nothing that is harmless is known of a server of yours. Raises DeliveryError."""
        raise errors.unknowable("a webhook cannot be tried without a message")

    async def close(self) -> None:
        """Close the connections."""
        await self._lifetime.end()
        if self._session is not None:
            await self._session.close()

    async def _refused(self, response: aiohttp.ClientResponse) -> DeliveryError:
        if 300 <= response.status < 400:
            told = f"HTTP {response.status}: redirects are not followed; configure the URL that it leads to"
            return DeliveryError("rejected", told, again=False)
        text = (await responses.read_start(response, ANSWER_LIMIT)).decode("utf-8", "replace")
        detail = errors.scrub(text, (self._settings.url, *self._settings.secrets))
        return errors.from_status(response.status, detail, after=errors.retry_after(response.headers))

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            settings = self._settings
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=settings.timeout.total_seconds()),
                trust_env=not fields.is_loopback(settings.url.get_secret_value()),
                # Whoever answers cannot make later requests bear anything.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


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


def signature(body: bytes, secrets: Sequence[Masked], now: datetime) -> str:
    """`t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>" in hex>`, with a v1 for each secret."""
    timestamp = int(now.timestamp())
    signed = f"{timestamp}.".encode() + body
    digests = (hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join((f"t={timestamp}", *(f"v1={digest}" for digest in digests)))


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
