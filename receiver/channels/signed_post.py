"""A POST that bears a signature: what the generic webhook and the webhooks of events share.

2xx is good, but for a page; redirects are not followed, as a secret would go where nobody configured it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import aiohttp

from deploywatch import responses
from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings import fields
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.secrets import Masked

SIGNATURE: Final = "Deploywatch-Signature"
DELIVERY: Final = "Deploywatch-Delivery"
IDEMPOTENCY: Final = "Idempotency-Key"
ANSWER_LIMIT: Final = 2048
"""Bytes of an answer that are read, to tell why it is no success."""


class SignedPost:
    """Posts bodies to one URL, each signed with the time at which it is sent."""

    def __init__(self, settings: WebhookSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._clock = clock
        self._lifetime = Lifetime()
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, *, delivery: str, headers: Mapping[str, str]) -> None:
        """Post a body; `delivery` names it, the same at each try. Raises DeliveryError."""
        settings = self._settings
        signed = {
            **headers,
            DELIVERY: delivery,
            IDEMPOTENCY: delivery,
            SIGNATURE: signature(body, settings.secrets, self._clock()),
        }
        try:
            async with (
                self._lifetime.message(),
                self._client().post(
                    settings.url.get_secret_value(), data=body, headers=signed, allow_redirects=False
                ) as response,
            ):
                if not 200 <= response.status < 300:
                    raise await self._refused(response)
                if not settings.answers_pages and await _is_page(response):
                    raise errors.foreign("a program's, but a page for a browser, as of a proxy that wants a sign-in")
        except TimeoutError as error:
            raise errors.timed_out(settings.timeout.total_seconds()) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not from the error: its text may bear the URL, and that is not masked.
            raise errors.unconnected(error, (settings.url,)) from None

    async def close(self) -> None:
        """Close the connections, after what is under way."""
        await self._lifetime.end()
        if self._session is not None:
            await self._session.close()

    async def _refused(self, response: aiohttp.ClientResponse) -> DeliveryError:
        if 300 <= response.status < 400:
            return errors.redirected(response.status)
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


async def _is_page(response: aiohttp.ClientResponse) -> bool:
    """Whether a browser is to show the answer; by its type first, as many servers say `text/html` of a plain `ok`."""
    if "html" not in response.headers.get("Content-Type", ""):
        return False
    return (await responses.read_start(response, ANSWER_LIMIT)).lstrip()[:1] == b"<"


def signature(body: bytes, secrets: Sequence[Masked], now: datetime) -> str:
    """`t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>" in hex>`, with a v1 for each secret."""
    # Within the signature: a body that somebody kept cannot be sent again an hour later.
    timestamp = int(now.timestamp())
    signed = f"{timestamp}.".encode() + body
    digests = (hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    # One for each secret, so that both sides can change theirs without a moment in which nothing fits.
    return ",".join((f"t={timestamp}", *(f"v1={digest}" for digest in digests)))
