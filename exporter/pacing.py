"""Many runs asked for at once, paced so that it is the targets that are measured and not our own load."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from deploywatch.clock import Clock
from deploywatch.exporter.results import Result
from deploywatch.exporter.target_run import one_spelling
from deploywatch.exporter.targets import Target

SPACING = 0.005
"""Seconds between the beginnings of two runs."""

# So many probes ask one server at once, so that a check is no load test.
AT_ONE_SERVER = 4
# Where probes run into their deadline they only wait, and would else make the check last for minutes.
AT_ONE_THAT_HANGS = 100

# Seconds by which a pause may be late before the machine counts as busy.
_LATE = 0.02
_MOST_PAUSES = 20
# A run that took this share of its timeout was cut off, not answered slowly.
_HUNG = 0.9


async def pace(clock: Clock) -> None:
    """Waits a little before the next run is begun, and longer while the machine does not keep up."""
    for _ in range(_MOST_PAUSES):
        before = clock.monotonic()
        await clock.sleep(SPACING)
        if clock.monotonic() - before - SPACING < _LATE:
            return


class Server:
    """The room for runs at one server: little, until it is seen to hang and nothing more can be spoilt."""

    def __init__(self) -> None:
        self.room = asyncio.Semaphore(AT_ONE_SERVER)
        self._open = False

    def note(self, result: Result, target: Target) -> None:
        """Take over how a run went."""
        if result.duration >= _HUNG * target.timeout and not self._open:
            self._open = True
            for _ in range(AT_ONE_SERVER, AT_ONE_THAT_HANGS):
                self.room.release()


class Servers:
    """Bounds the runs at each server address, so that targets are not slow by our own load."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}

    @contextlib.asynccontextmanager
    async def turn(self, target: Target, patience: float | None = None) -> AsyncIterator[Server]:
        """Wait for room at the target's server and hold it; after `patience` seconds, if given, go on without."""
        server = self._servers.setdefault(one_spelling(target.server), Server()) if target.server else Server()
        held = False
        # Whoever waits for an answer is not to fail because others hang: then a little load is the smaller harm.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                held = await server.room.acquire()
        try:
            yield server
        finally:
            if held:
                server.room.release()
