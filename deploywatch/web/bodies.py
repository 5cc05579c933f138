"""Bodies as they come in: bounded in size, in time, and all together in memory."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, web

# With the default bound of a webhook, several of the largest fit; the container's limit is above it.
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
        self.together = together
        self.seconds = seconds
        self.held = 0

    def read(self, request: web.Request, *, limit: int) -> Held:
        """The body, of at most `limit` bytes, for `async with`: held for as long as the block lasts.

        TooLargeError for one over the limit; TooMuchError when all bodies together would be too much, or this one
        does not arrive in time.
        """
        return Held(self, request, limit)


class Held:
    """One body, which counts as held from its first byte to the end of the block."""

    def __init__(self, bodies: Bodies, request: web.Request, limit: int) -> None:
        self._bodies = bodies
        self._request = request
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    async def __aenter__(self) -> bytes:
        # Refused by its announcement, before a byte is read.
        if (self._request.content_length or 0) > self._limit:
            raise TooLargeError(_too_large(self._limit))
        try:
            await self._arrive(self._request.content)
        except BaseException:
            self._let_go()
            raise
        # A join would copy the body once more, and most come in one piece.
        whole = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return whole

    async def __aexit__(self, *_: object) -> None:
        self._let_go()

    def _let_go(self) -> None:
        self._bodies.held -= self._size

    async def _arrive(self, content: StreamReader) -> None:
        if content.is_eof():
            # A timer costs as much as reading a body that is here already.
            self._add(content.read_nowait())
            return
        try:
            async with asyncio.timeout(self._bodies.seconds):
                async for piece in content.iter_any():
                    self._add(piece)
        except TimeoutError as error:
            raise TooMuchError(f"the body did not arrive within {self._bodies.seconds:g} s") from error

    def _add(self, piece: bytes) -> None:
        """Hold a piece. What is announced takes no room: it may never come, and others wait for theirs."""
        if self._size + len(piece) > self._limit:
            raise TooLargeError(_too_large(self._limit))
        # Alone, one body may always come: else a limit that is set too low would take nothing, for ever.
        others = self._bodies.held - self._size
        if others and self._bodies.held + len(piece) > self._bodies.together:
            raise TooMuchError(f"{others} bytes of other bodies are being taken in")
        self._pieces.append(piece)
        self._size += len(piece)
        self._bodies.held += len(piece)


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit} bytes"
