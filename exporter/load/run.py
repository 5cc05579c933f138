"""A closed loop: each user sends a request, waits for its answer, and sends the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp

from deploywatch.clock import Clock
from deploywatch.exporter.load.requests import Mix, Request

LARGEST = 64 * 1024 * 1024
"""Bytes of a body that are read; a longer one is an error."""

STATUS = "status "
"""How the error of an answer of status 400 or more begins."""

Ask = Callable[[Request], Awaitable[str | None]]
"""Sends a request and waits for the whole answer; why it failed, or None."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it was sent, in seconds since the warm-up ended, how long it took, and why it failed."""

    sent: float
    took: float
    error: str | None = None

    @property
    def came(self) -> bool:
        """Whether the server answered at all, with whatever status."""
        return self.error is None or self.error.startswith(STATUS)


@dataclass(slots=True)
class Loop:
    """Runs `users` for `warm_up` seconds that do not count, then for `duration` seconds."""

    mix: Mix
    users: int
    duration: float
    warm_up: float
    clock: Clock
    answers: list[Answer] = field(default_factory=list)
    _begun: float = 0.0

    async def run(self, ask: Ask) -> None:
        """Until the time is over; what is under way then is waited for, and counts."""
        self._begun = self.clock.monotonic() + self.warm_up
        async with asyncio.TaskGroup() as users:
            for _ in range(self.users):
                users.create_task(self._user(ask))

    @property
    def passed(self) -> float:
        """Seconds since the warm-up ended; below 0 before."""
        return self.clock.monotonic() - self._begun

    async def _user(self, ask: Ask) -> None:
        while (sent := self.passed) < self.duration:
            error = await ask(self.mix.next())
            took = self.passed - sent
            # Below 0 it was sent in the warm-up: connections and caches are filled by then.
            if sent >= 0:
                self.answers.append(Answer(sent, took, error))
            if took <= 0:
                # An answer without any time passing would keep the loop for itself.
                await self.clock.sleep(0.001)


def asker(session: aiohttp.ClientSession, timeout: float) -> Ask:
    """Asks over HTTP; a status of 400 or more, a refused connection and a late answer are errors, by name."""

    async def ask(request: Request) -> str | None:
        try:
            async with (
                asyncio.timeout(timeout),
                session.request(request.method, request.url, headers=request.headers, data=request.body) as response,
            ):
                return await _read(response)
        except TimeoutError:
            return f"no answer within {timeout:g} s"
        except aiohttp.ClientConnectorDNSError:
            return "the name does not resolve"
        except aiohttp.ClientConnectorError as error:
            return f"cannot connect: {error.os_error.strerror or type(error.os_error).__name__}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__

    return ask


async def _read(response: aiohttp.ClientResponse) -> str | None:
    size = 0
    # Read and thrown away: the time of an answer ends with its last byte.
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > LARGEST:
            return f"body over {LARGEST // 1024**2} MiB"
    return f"{STATUS}{response.status}" if response.status >= 400 else None
