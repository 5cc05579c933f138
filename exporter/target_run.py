"""One target's runs, and the room that the runs of all targets share."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from deploywatch.exporter.results import Result
from deploywatch.exporter.settings.per_server import PerServer
from deploywatch.exporter.targets import Target

T = TypeVar("T")


class Room:
    """Room for `size` runs at once; those whose last run hung share one half, so that the other half is always moving.

    A target holds one place at most, but hundreds that hang hold theirs for a whole timeout each. Runs on request share
    one half too: whoever asks for many must not keep the schedule waiting.
    """

    def __init__(self, size: int) -> None:
        self._all = asyncio.Semaphore(size)
        self._for_hung = asyncio.Semaphore(max(1, size // 2))
        self._on_request = asyncio.Semaphore(max(1, size // 2))

    def one(self, *, hung: bool) -> tuple[asyncio.Semaphore, ...]:
        """What a run has to wait for and hold, in this order."""
        # The narrow one first: whoever waited with a place of all in hand would block those who are well.
        return (self._for_hung, self._all) if hung else (self._all,)

    def asked(self) -> tuple[asyncio.Semaphore, ...]:
        """What a run on request has to wait for and hold, in this order."""
        return (self._on_request, self._all)


class Places:
    """Places that a run waits for, one after the other, and holds; of a server, its room stays for as long."""

    __slots__ = ("_held", "_room", "_wanted")

    def __init__(self, room: Room | None, wanted: tuple[asyncio.Semaphore, ...]) -> None:
        self._room = room
        self._wanted = wanted
        self._held = 0

    async def __aenter__(self) -> None:
        """Wait until all are held; none is when that is broken off."""
        try:
            for place in self._wanted:
                await place.acquire()
                self._held += 1
        except BaseException:
            self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Give them back."""
        self._release()

    def _release(self) -> None:
        for place in reversed(self._wanted[: self._held]):
            place.release()
        self._held = 0


def one_spelling(server: str) -> str:
    """A host and its port as all who mean it write it: `DB.example.:5432` is `db.example:5432`; a socket is a path."""
    if server.startswith(("unix:", "/")):
        return server
    host, colon, port = server.rpartition(":")
    # Of IPv6 one address has many spellings.
    if ":" in host:
        with contextlib.suppress(ValueError):
            host = str(ipaddress.ip_address(host.strip("[]")))
    return f"{host.lower().removesuffix('.')}{colon}{port}"


class Slots:
    """Room for runs: for all together, and at each server address, which must not be flooded even at the start."""

    def __init__(self, size: int, per_server: PerServer | None = None) -> None:
        self.size, self.per_server = size, per_server or PerServer()
        self._room = Room(size)
        # Weak: whoever may ask for probes names servers without end, and none of their rooms has to stay.
        self._servers: WeakValueDictionary[tuple[str, int], Room] = WeakValueDictionary()

    def one(self, target: Target, *, hung: bool) -> Places:
        """The places for a run of this target: at its server, and among all."""
        room = self._at(target.server, target.kind)
        return Places(room, (*(room.one(hung=hung) if room else ()), *self._room.one(hung=hung)))

    def at(self, server: str | None, kind: str) -> Places:
        """A place at a server alone, for a run on request; there is always one where no server is known."""
        room = self._at(server, kind)
        return Places(room, room.asked() if room else ())

    @property
    def servers(self) -> int:
        """At how many servers a place is held, or waited for."""
        return len(self._servers)

    def _at(self, server: str | None, kind: str) -> Room | None:
        if server is None:
            return None
        # The limit is part of the key, so that a reload with another one does not fight over the old room.
        key = (one_spelling(server), self.per_server.limit(kind))
        room = self._servers.get(key)
        if room is None:
            room = self._servers[key] = Room(key[1])
        return room


@dataclass(slots=True, eq=False)
class TargetRun:
    """One target's runs; never two of them at once. Times are monotonic seconds.

    `regular` is the next time of the target's rhythm, and `number` counts these; `next` is when the target is looked at
    next, and `due` when the run was to begin that has not begun yet. `hung` says that the last run took all its time.
    """

    target: Target
    regular: float
    number: int = 0
    next: float = math.inf
    due: float = math.inf
    hung: bool = False
    run: asyncio.Task[None] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: asyncio.Task[Result] | None = None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that ends when the target is left."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def leave(self) -> set[asyncio.Task[Any]]:
        """Break off what is under way; the tasks, which end soon."""
        for task in self.tasks:
            task.cancel()
        return set(self.tasks)
