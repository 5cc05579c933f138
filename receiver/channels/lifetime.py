"""When a channel's connections may go: after the messages that are under way, and none begins after that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from deploywatch.receiver.messages import DeliveryError


class Lifetime:
    """Counts the messages under way; a reload closes channels that may still be at work."""

    def __init__(self) -> None:
        self._over = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.asynccontextmanager
    async def message(self) -> AsyncIterator[None]:
        """Around the sending of one; DeliveryError once the channel is closed: its successor will have it."""
        if self._over:
            raise DeliveryError("connection", "the channel was closed, as by a reload", again=True)
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def end(self) -> None:
        """Let no message begin any more, and wait for those under way: at most as long as their timeouts."""
        self._over = True
        await self._idle.wait()
