"""When to probe: each target at its own times, one run of it at once, a bounded number of all, and now on request."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

from deploywatch import logs
from deploywatch.clock import Clock
from deploywatch.errors import DeploywatchError
from exporter.board.lag import START_BOUNDS, Lags
from exporter.lane import Lane, Slots
from exporter.probing import run
from exporter.results import Result
from exporter.targets import Key, Target

log = logs.get("exporter")

START_SPACING = 0.01
"""Seconds between the first runs of two targets on average, so that a start is spread and yet soon over."""

_AT_ONCE = 100
"""Runs that are begun before anything else is let on."""

_HUNG = 0.9
"""The share of its timeout from which on a run is held to have hung."""


class GoneError(DeploywatchError):
    """The target that was to be probed is no longer in the config."""

    exit_code = 1


class Scheduler:
    """Runs targets until it is stopped; every result goes to `report`."""

    def __init__(self, *, clock: Clock, report: Callable[[Target, Result], None]) -> None:
        self._clock = clock
        self._report = report
        self._lanes: dict[Key, Lane] = {}
        self._leaving: set[asyncio.Task[Any]] = set()
        # One heap and one sleeper for all: thousands of sleeping tasks would be the garbage collector's longest way.
        self._heap: list[tuple[float, int, Lane]] = []
        self._order = itertools.count()
        self._dispatcher: asyncio.Task[None] | None = None
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
                self._lanes[key] = self._enter(target, spread)
        self._heap = [entry for entry in self._heap if self._lanes.get(entry[2].target.key) is entry[2]]
        heapq.heapify(self._heap)
        self._stop_dispatcher()
        self._dispatcher = asyncio.create_task(self._dispatch())

    def overdue(self) -> float:
        """Seconds that the longest overdue regular run has been waiting to begin; 0 when none is late."""
        due = min((lane.due for lane in self._lanes.values()), default=math.inf)
        return max(0.0, self._clock.monotonic() - due)

    async def stop(self) -> None:
        """Break off every run and wait until all are over."""
        self._stop_dispatcher()
        for lane in self._lanes.values():
            self._leaving |= lane.leave()
        self._lanes, self._heap = {}, []
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

    def _enter(self, target: Target, spread: float) -> Lane:
        """A lane that runs once soon, then at the target's own times; a first of these that is too soon is left out."""
        begin = self._clock.monotonic()
        first = begin + target.fraction * min(target.interval, spread)
        regular = begin + target.fraction * target.interval
        if regular - first < target.interval / 2:
            regular += target.interval
        lane = Lane(target, regular, due=first)
        self._look_at(lane, first)
        return lane

    def _look_at(self, lane: Lane, at: float) -> None:
        lane.next = at
        heapq.heappush(self._heap, (at, next(self._order), lane))

    async def _dispatch(self) -> None:
        """Begin each lane's runs at their times, until it is cancelled."""
        while self._heap:
            wait = self._heap[0][0] - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
                continue
            for _ in range(_AT_ONCE):
                if not self._heap or self._heap[0][0] > self._clock.monotonic():
                    break
                self._begin(heapq.heappop(self._heap)[2])
            await asyncio.sleep(0)

    def _begin(self, lane: Lane) -> None:
        """Begin a run, unless the one before is still not done; and see when the next is to begin."""
        at = lane.next
        self._look_at(lane, lane.regular + lane.target.shift(lane.number))
        lane.regular = self._following(lane)
        lane.number += 1
        if lane.run is None or lane.run.done():
            lane.due = at
            lane.run = lane.start(self._run_due(lane, at))
        else:
            self.missed += 1

    def _following(self, lane: Lane) -> float:
        """The regular time after the lane's next; times that are long past are missed, and not caught up with."""
        following = lane.regular + lane.target.interval
        late = self._clock.monotonic() - following
        if late <= 0:
            return following
        skipped = math.ceil(late / lane.target.interval)
        self.missed += skipped
        return following + skipped * lane.target.interval

    async def _run_due(self, lane: Lane, at: float) -> None:
        async with lane.turn, self._slots.one(hung=lane.hung):
            self.start_lag.note(max(0.0, self._clock.monotonic() - at))
            # A run that never ends is overdue from then on.
            lane.due = lane.next
            await self._run(lane)
        lane.due = lane.next

    def _stop_dispatcher(self) -> None:
        if self._dispatcher:
            self._dispatcher.cancel()
            self._leaving.add(self._dispatcher)

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
