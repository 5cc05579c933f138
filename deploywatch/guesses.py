"""Wrong credentials: counted by reason, logged with a limit, and checked at a bounded cost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from deploywatch import logs

PENDING = 16
"""Passwords that wait to be checked, all together."""
PENDING_OF_ONE = 4
"""Those that one address has sent."""
LOG_SECONDS = 10.0
"""How often a reason is logged at most."""

log = logs.get("web")


class Refusal(StrEnum):
    """Why a request is not let in."""

    MISSING = "missing"
    MALFORMED = "malformed"
    PASSWORD = "password"  # noqa: S105 - a reason
    TOKEN = "token"  # noqa: S105
    BUSY = "busy"


class BusyError(Exception):
    """So many passwords wait to be checked that this one is not."""


class Guesses(Collector):
    """What was refused, and the passwords that are being checked: one after another, in a thread of their own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts = Counter[Refusal]()
        self._unsaid = Counter[Refusal]()
        self._said: dict[Refusal, float] = {}
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._checking: dict[bytes, asyncio.Future[bool]] = {}
        self._pending = Counter[str]()

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counts, each reason from 0."""
        family = CounterMetricFamily(
            "deploywatch_http_refused_credentials",
            "Requests that were not let in, by reason; busy: too many passwords waited to be checked.",
            labels=["reason"],
        )
        for reason in Refusal:
            family.add_metric([reason], self._counts[reason])
        yield family

    def note(self, reason: Refusal, remote: str) -> None:
        """Count it; log it, unless that was done a moment ago: then the next line says how many there were."""
        self._counts[reason] += 1
        if reason is Refusal.MISSING:  # as every browser begins
            return
        now, last = self._clock(), self._said.get(reason)
        if last is not None and now - last < LOG_SECONDS:
            self._unsaid[reason] += 1
            return
        self._said[reason] = now
        log.warning("credentials refused", reason=str(reason), remote=remote, not_logged=self._unsaid.pop(reason, 0))

    async def check(self, key: bytes, remote: str, work: Callable[[], bool]) -> bool:
        """What the work says; the same key is worked on once at a time. BusyError where too many wait."""
        checking = self._checking.get(key)
        if checking is None:
            if self._pending.total() >= PENDING or self._pending[remote] >= PENDING_OF_ONE:
                raise BusyError
            self._pending[remote] += 1
            checking = asyncio.get_running_loop().run_in_executor(self._thread, work)
            self._checking[key] = checking
            checking.add_done_callback(lambda _: self._done(key, remote))
        return await asyncio.shield(checking)

    def _done(self, key: bytes, remote: str) -> None:
        del self._checking[key]
        self._pending[remote] -= 1
        if not self._pending[remote]:
            del self._pending[remote]
