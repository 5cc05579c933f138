"""What an answer means for a delivery: one table for every channel, so that all retry alike."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp

from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.rendering.text import line
from deploywatch.secrets import MASK, Masked

DETAIL_LIMIT = 300
MOST_WAITING = timedelta(hours=1)
"""What another side may ask us to wait at most; a longer time is a mistake of its, or a way to silence us."""


def from_status(status: int, detail: str, *, after: timedelta | None = None) -> DeliveryError:
    """The error for an HTTP status that is no success."""
    text = f"HTTP {status}: {line(detail, DETAIL_LIMIT)}" if detail else f"HTTP {status}"
    match status:
        case 429:
            return DeliveryError("rate_limited", text, again=True, after=after)
        # Not tried again by itself: each wrong try brings a token nearer to being locked.
        case 401 | 403:
            return DeliveryError("credentials", text, again=False)
        # The server says that it did not read the request, so nothing has arrived.
        case 408:
            return DeliveryError("timeout", text, again=True)
        # Our message, as it is, is wrong to them; the same one will be wrong in a minute.
        case _ if 400 <= status < 500:
            return DeliveryError("rejected", text, again=False)
        case _:
            return DeliveryError("server", text, again=True, after=after)


def redirected(status: int) -> DeliveryError:
    """The error for a redirect: to follow it would take a secret to where nobody configured it."""
    advice = f"HTTP {status}: redirects are not followed; configure the URL that it leads to"
    return DeliveryError("rejected", advice, again=False)


def timed_out(seconds: float) -> DeliveryError:
    """The error for an answer that did not come in time."""
    return DeliveryError("timeout", f"no answer within {seconds:g} s", again=True, unsure=True)


def unconnected(error: BaseException, secrets: tuple[Masked | None, ...] = ()) -> DeliveryError:
    """The error for a connection that failed or broke."""
    # A name that was not found, a connection that was refused: nothing can have arrived, and no doubt is left.
    never_open = isinstance(error, (aiohttp.ClientConnectorError, ConnectionRefusedError, socket.gaierror))
    return DeliveryError("connection", told(error, secrets), again=True, unsure=not never_open)


def foreign(service: str) -> DeliveryError:
    """The error for a success that is not said as the service says it: such as a proxy's page."""
    return DeliveryError("server", f"the answer is not {service}", again=True, unsure=True)


def unknowable(detail: str) -> DeliveryError:
    """The error for a channel that cannot say whether a message has arrived."""
    return DeliveryError("unknowable", detail, again=False)


def told(error: BaseException, secrets: tuple[Masked | None, ...] = ()) -> str:
    """An exception in one bounded line, in which no secret shows."""
    return line(scrub(f"{type(error).__name__}: {error}", secrets), DETAIL_LIMIT)


def scrub(text: str, secrets: tuple[Masked | None, ...]) -> str:
    """The text with these secrets masked, should the other side have echoed them."""
    for secret in secrets:
        if secret is not None and secret.get_secret_value():
            text = text.replace(secret.get_secret_value(), MASK)
    return text


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> timedelta | None:
    """How long a `Retry-After` header asks to wait, in seconds or as a date; None when it does not say."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if not text:
        return None
    try:
        asked = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        try:
            asked = parsedate_to_datetime(text) - (now or datetime.now(UTC))
        except (ValueError, TypeError):
            return None
    # A date in the past asks for no wait; NaN seconds cannot come so far (timedelta refuses them).
    return min(max(asked, timedelta()), MOST_WAITING)
