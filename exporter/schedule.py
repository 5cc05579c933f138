"""When to probe: each target at its own times, one run of it at once, a bounded number of all, and now on request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from deploywatch import logs
from deploywatch.errors import DeploywatchError
from exporter.clock import Clock
from exporter.measure.lag import START_BOUNDS, Lags
from exporter.probing import run
from exporter.results import Result
from exporter.targets import Key, Target

log = logs.get("exporter")

T = TypeVar("T")

START_SPACING = 0.01
"""Seconds between the first runs of two targets on average, so that a start is spread and yet soon over."""


_HUNG = 0.9
"""The share of its timeout from which on a run is held to have hung."""


class GoneError(DeploywatchError):
    """The target that was to be probed is no longer in the config."""

    exit_code = 1


class Slots:
    """Room for `size` runs at once; those whose last run hung share one half, so that the other half is always moving.

    A target holds one slot at most, but hundreds that hang hold theirs for a whole timeout each.
    """

    def __init__(self, size: int) -> None:
        self._all = asyncio.Semaphore(size)
        self._for_hung = asyncio.Semaphore(max(1, size // 2))

    @contextlib.asynccontextmanager
    async def one(self, *, hung: bool) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        if not hung:
            async with self._all:
                yield
            return
        async with self._for_hung, self._all:
            yield


@dataclass(slots=True, eq=False)
class Lane:
    """One target's runs; never two of them at once.

    `due` is the monotonic time of the next regular run; `hung` says that the last run took all the time it had.
    """

    target: Target
    due: float = math.inf
    hung: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: asyncio.Task[Result] | None = None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that ends when the lane is left."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def leave(self) -> set[asyncio.Task[Any]]:
        """Break off what is under way; the tasks, which end soon."""
        for task in self.tasks:
            task.cancel()
        return set(self.tasks)


class Scheduler:
    """Runs targets until it is stopped; every result goes to `report`."""

    def __init__(self, *, clock: Clock, report: Callable[[Target, Result], None]) -> None:
        self._clock = clock
        self._report = report
        self._lanes: dict[Key, Lane] = {}
        self._leaving: set[asyncio.Task[Any]] = set()
        self._slots = Slots(1)
        self.missed = 0
        """Runs that were skipped because the one before was still not done."""
        self.running = 0
        """Runs that are under way."""
        self.start_lag = Lags(START_BOUNDS)
        """How late the regular runs began."""

    def apply(self, targets: Iterable[Target], *, concurrency: int) -> None:
        """Run these targets from now on; those that are unchanged keep their times."""
        wanted = {target.key: target for target in targets}
        self._slots = Slots(concurrency)
        for key, lane in list(self._lanes.items()):
            if wanted.get(key) != lane.target:
                del self._lanes[key]
                self._leaving |= lane.leave()
        self._leaving = {task for task in self._leaving if not task.done()}
        spread = START_SPACING * len(wanted)
        for key, target in wanted.items():
            if key not in self._lanes:
                lane = self._lanes[key] = Lane(target)
                lane.start(self._tick(lane, spread))

    def overdue(self) -> float:
        """Seconds that the longest overdue regular run has been waiting to begin; 0 when none is late."""
        due = min((lane.due for lane in self._lanes.values()), default=math.inf)
        return max(0.0, self._clock.monotonic() - due)

    async def stop(self) -> None:
        """Break off every run and wait until all are over."""
        for lane in self._lanes.values():
            self._leaving |= lane.leave()
        self._lanes = {}
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def fresh(self, key: Key) -> Result:
        """The result of a run that begins now, or once the one in flight is over; all who wait for it share it.

        Raises GoneError when there is no such target, or no longer.
        """
        lane = self._lanes.get(key)
        if lane is None:
            raise GoneError(f"{'/'.join(key)} is not probed")
        task = lane.asked
        if task is None:
            task = lane.asked = lane.start(self._ask(lane))
        await asyncio.wait({task})
        if task.cancelled():
            raise GoneError(f"{'/'.join(key)} is no longer probed")
        return task.result()

    async def _ask(self, lane: Lane) -> Result:
        async with lane.turn, self._slots.one(hung=lane.hung):
            # From here on it is under way: who asks now wants a newer one.
            lane.asked = None
            return await self._run(lane)

    async def _tick(self, lane: Lane, spread: float) -> None:
        """Run once soon, then at the target's own times; a first regular time that comes too soon is left out."""
        target = lane.target
        begin = self._clock.monotonic()
        first = begin + target.fraction * min(target.interval, spread)
        due = begin + target.fraction * target.interval
        if due - first < target.interval / 2:
            due += target.interval
        await self._run_at(first, lane)
        for number in itertools.count():
            await self._run_at(due + target.shift(number), lane)
            due = self._next(due, target.interval)

    def _next(self, due: float, interval: float) -> float:
        """The next regular time that is to come; those that passed during a run are missed, not caught up with."""
        due += interval
        late = self._clock.monotonic() - due
        if late <= 0:
            return due
        skipped = math.ceil(late / interval)
        self.missed += skipped
        return due + skipped * interval

    async def _run_at(self, at: float, lane: Lane) -> None:
        lane.due = at
        await self._clock.sleep(at - self._clock.monotonic())
        async with lane.turn, self._slots.one(hung=lane.hung):
            self.start_lag.note(max(0.0, self._clock.monotonic() - at))
            # Until the next time is known: a run that never ends is overdue from then on.
            lane.due = at + lane.target.interval
            await self._run(lane)

    async def _run(self, lane: Lane) -> Result:
        target = lane.target
        self.running += 1
        try:
            result = await run(target.probe, limit=target.timeout, clock=self._clock)
        finally:
            self.running -= 1
        lane.hung = result.duration >= _HUNG * target.timeout
        try:
            self._report(target, result)
        except Exception:
            # A result that cannot be put up must not end the target's runs.
            log.exception("a result could not be noted", **target.key._asdict())
        return result
