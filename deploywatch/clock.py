"""Time as an argument: what the wall says, what has passed, and how to wait; and a clock that tests move."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Protocol

from pydantic import AfterValidator, AwareDatetime

from deploywatch.utc import in_utc as in_utc  # noqa: PLC0414 - given on to who needs the clock as well
from deploywatch.utc import utc_now as utc_now  # noqa: PLC0414

# Tasks that wake each other need some turns of the loop until none of them has anything to do.
_TURNS = 50

Now = Callable[[], datetime]
"""Gives the time, in UTC; for decisions that need nothing else."""

Sleep = Callable[[float], Awaitable[None]]
"""Returns after so many seconds."""


UtcTime = Annotated[AwareDatetime, AfterValidator(in_utc)]
"""A field for a time with its zone, taken over as UTC."""


class Clock(Protocol):
    """Time and waiting together; all in seconds."""

    def now(self) -> float:
        """Unix time."""
        ...

    def monotonic(self) -> float:
        """Time that never goes back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this long."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Unix time."""
        return time.time()

    def monotonic(self) -> float:
        """The time of the event loop."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let the event loop do something else for this long."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until `advance` moves it; sleepers wake in the order of their times."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._passed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Unix time, as far as it was moved."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Seconds that the clock was moved."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved the clock this far."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + max(0.0, seconds), next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move the clock, waking each sleeper at its time and letting it run before the next."""
        end = self._passed + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, at)
            if not woken.done():
                woken.set_result(None)
                await _settle()
        self._passed = end
        await _settle()


async def _settle() -> None:
    """Let everything that can run now do so."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
