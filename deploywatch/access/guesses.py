"""Wrong credentials: counted by reason, logged with a limit, and checked at a bounded cost."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from deploywatch import logs

# bcrypt takes a tenth of a second and more on purpose. Without a bound, whoever sends wrong passwords quickly enough
# keeps a core busy and everybody else waiting.
PENDING = 16
"""Passwords that wait to be checked, all together."""
PENDING_OF_ONE = 4
"""Those that one address has sent."""
# Per address and name, not per name alone: nobody must be able to lock out a colleague by guessing under their name.
WRONG_OF_ONE_NAME = 10
"""Wrong passwords for a name that one address may send within WRONG_SECONDS."""
WRONG_OF_ONE = 60
"""Wrong passwords and tokens that one address may send within them, for any names."""
WRONG_SECONDS = 60.0
"""Short, so that nobody keeps somebody else out for long by guessing."""
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
    GUESSING = "guessing"
    PROXY = "proxy"
    SESSION = "session"
    SCREEN = "screen"
    SIGNATURE = "signature"


class BusyError(Exception):
    """So many passwords wait to be checked that this one is not; `retry_after` seconds later it may be."""

    reason = Refusal.BUSY

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__()
        self.retry_after = retry_after


class GuessingError(BusyError):
    """So many were wrong that the next is not looked at yet."""

    reason = Refusal.GUESSING


class Attempts:
    """Wrong credentials of late, by address and name; old ones are forgotten."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: dict[tuple[str, str | None], deque[float]] = {}

    def refuse(self, remote: str, name: str) -> None:
        """GuessingError where too many were wrong."""
        now = self._clock()
        # Here, and not by a timer: who guesses pays for the cleaning.
        self._forget(now)
        for key, most in _counted(remote, name):
            # `get`, since looking must not remember an address that did nothing wrong.
            wrong = self._wrong.get(key)
            if wrong and len(wrong) >= most:
                raise GuessingError(max(1, math.ceil(wrong[0] + WRONG_SECONDS - now)))

    def note(self, remote: str, name: str) -> None:
        """One was wrong."""
        for key, most in _counted(remote, name):
            self._wrong.setdefault(key, deque(maxlen=most)).append(self._clock())

    def _forget(self, now: float) -> None:
        for key, times in list(self._wrong.items()):
            while times and times[0] <= now - WRONG_SECONDS:
                times.popleft()
            if not times:
                del self._wrong[key]


def _counted(remote: str, name: str) -> tuple[tuple[tuple[str, str | None], int], ...]:
    origin = _network(remote)
    return ((origin, name), WRONG_OF_ONE_NAME), ((origin, None), WRONG_OF_ONE)


def _network(remote: str) -> str:
    """The address; of IPv6 the network of 64 bits, because one subscriber has all of its addresses."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if address.version == 4:
        return str(address)
    # An IPv4 client of a dual-stack socket appears as ::ffff:192.0.2.1, and must not get a second count for it.
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class Guesses(Collector):
    """What was refused, and the passwords that are being checked: one after another, in a thread of their own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts = Counter[Refusal]()
        self._unsaid = Counter[Refusal]()
        self._said: dict[Refusal, float] = {}
        # bcrypt lets go of the GIL, so the event loop goes on; one thread, so that guessing takes one core at most.
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._checking: dict[bytes, asyncio.Future[bool]] = {}
        self._pending = Counter[str]()
        self.attempts = Attempts(clock)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counts, each reason from 0."""
        family = CounterMetricFamily(
            "deploywatch_http_refused_credentials",
            "Requests that were not let in, by reason; busy: too many passwords waited to be checked; "
            "guessing: too many were wrong.",
            labels=["reason"],
        )
        for reason in Refusal:
            family.add_metric([reason], self._counts[reason])
        yield family

    def note(self, reason: Refusal, remote: str, **facts: str) -> None:
        """Count it; log it, unless that was done a moment ago: then the next line says how many there were."""
        self._counts[reason] += 1
        if reason is Refusal.MISSING:  # as every browser begins
            return
        now, last = self._clock(), self._said.get(reason)
        if last is not None and now - last < LOG_SECONDS:
            self._unsaid[reason] += 1
            return
        self._said[reason] = now
        unsaid = self._unsaid.pop(reason, 0)
        log.warning("credentials refused", reason=str(reason), remote=remote, **facts, not_logged=unsaid)

    async def check(self, key: bytes, remote: str, work: Callable[[], bool]) -> bool:
        """What the work says; the same key is worked on once at a time. BusyError where too many wait."""
        # A browser opens a page with ten requests that bear the same password: one check answers them all.
        checking = self._checking.get(key)
        if checking is None:
            if self._pending.total() >= PENDING or self._pending[remote] >= PENDING_OF_ONE:
                raise BusyError
            self._pending[remote] += 1
            checking = asyncio.get_running_loop().run_in_executor(self._thread, work)
            self._checking[key] = checking
            checking.add_done_callback(lambda _: self._done(key, remote))
        # Whoever hangs up must not cancel the check that others wait for.
        return await asyncio.shield(checking)

    def _done(self, key: bytes, remote: str) -> None:
        del self._checking[key]
        self._pending[remote] -= 1
        if not self._pending[remote]:
            del self._pending[remote]
