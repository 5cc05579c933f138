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
        does not arrive in time.
        """
        if (request.content_length or 0) > limit:
            raise TooLargeError(_too_large(limit))
        arriving, whole = bytearray(), b""
        try:
            await self._arrive(request, limit, arriving)
            whole = bytes(arriving)
            arriving.clear()
            yield whole
        finally:
            self._held -= len(arriving) + len(whole)

    async def _arrive(self, request: web.Request, limit: int, body: bytearray) -> None:
        """Fill `body`. What is announced takes no room: it may never come, and others wait for theirs."""
        try:
            # A timer costs as much as reading a body that is here already.
            async with asyncio.timeout(None if request.content.is_eof() else self._seconds):
                async for piece in request.content.iter_any():
                    if len(body) + len(piece) > limit:
                        raise TooLargeError(_too_large(limit))
                    others = self._held - len(body)
                    if others and self._held + len(piece) > self._together:
                        raise TooMuchError(f"{others} bytes of other webhooks are being taken in")
                    body += piece
                    self._held += len(piece)
        except TimeoutError as error:
            raise TooMuchError(f"the body did not arrive within {self._seconds:g} s") from error


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit} bytes; lower max_alerts"
