"""Bodies as they come in: bounded in size, in time, and all together in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

TOGETHER = 128 * 1024**2
"""Bytes of bodies that are held at the same time."""
SECONDS = 60.0
"""How long a body may take to arrive."""


class TooLargeError(Exception):
    """A body that no trying again makes smaller."""


class TooMuchError(Exception):
    """More than can be held just now, or too slow to arrive; the same body may be taken later."""


class Bodies:
    """Hands out bodies while there is room for them."""

    def __init__(self, *, together: int = TOGETHER, seconds: float = SECONDS) -> None:
        self._together = together
        self._seconds = seconds
        self._held = 0

    @contextlib.asynccontextmanager
    async def read(self, request: web.Request, *, limit: int) -> AsyncIterator[bytes]:
        """The body, of at most `limit` bytes, held for as long as the block lasts.

        TooLargeError for one over the limit; TooMuchError when all bodies together would be too much, or this one
        does not arrive in time. A body of unknown length counts as one of the limit's.
        """
        size = limit if request.content_length is None else request.content_length
        if size > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes; lower max_alerts")
        if self._held and self._held + size > self._together:
            raise TooMuchError(f"{self._held} bytes of other webhooks are being taken in")
        self._held += size
        try:
            yield await self._arrived(request, limit)
        finally:
            self._held -= size

    async def _arrived(self, request: web.Request, limit: int) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                return await request.read()
        except TimeoutError as error:
            raise TooMuchError(f"the body did not arrive within {self._seconds:g} s") from error
        except web.HTTPRequestEntityTooLarge as error:
            raise TooLargeError(f"the body is larger than {limit} bytes; lower max_alerts") from error
