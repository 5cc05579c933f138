"""When to probe: each target at its own times, one run of it at once, a bounded number of all, and now on request."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from deploywatch import logs
from deploywatch.clock import Clock
from deploywatch.errors import DeploywatchError
from deploywatch.exporter.board.lag import START_BOUNDS, Lags
from deploywatch.exporter.probing.measurement import Settling
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.results import Result
from deploywatch.exporter.settings.per_server import PerServer
from deploywatch.exporter.target_run import Slots, TargetRun
from deploywatch.exporter.targets import Key, Target

log = logs.get("exporter")

# 5,000 targets begin within 50 s, or within their interval where that is shorter: never all at the same moment.
START_SPACING = 0.01
"""Seconds between the first runs of two targets on average, so that a start is spread and yet soon over."""

_FIRST_RUNS = 0.9
"""The share of an interval within which every first run begins, so that all have run once when it is over."""

_AT_ONCE = 100
"""Runs that are begun before anything else is let on."""

# Not all of it: what breaks off by itself just before its end has hung as well.
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
        self._target_runs: dict[Key, TargetRun] = {}
        self._leaving: set[asyncio.Task[Any]] = set()
        # One heap and one sleeper for all: thousands of sleeping tasks would be the garbage collector's longest way.
        self._heap: list[tuple[float, int, TargetRun]] = []
        self._order = itertools.count()
        self._dispatcher: asyncio.Task[None] | None = None
        self._slots = Slots(1)
        self.missed = 0
        """Runs that were skipped because the one before was still not done."""
        self.running = 0
        """Runs that are under way."""
        self.start_lag = Lags(START_BOUNDS)
        """How late the regular runs began."""

    def apply(self, targets: Iterable[Target], *, concurrency: int, per_server: PerServer | None = None) -> None:
        """Run these targets from now on; those that are unchanged keep their times."""
        wanted = {target.key: target for target in targets}
        slots = Slots(concurrency, per_server)
        if (slots.size, slots.per_server) != (self._slots.size, self._slots.per_server):
            self._slots = slots
        for key, target_run in list(self._target_runs.items()):
            # A reload that leaves a target as it is must not move its times: its rhythm, and its counters, go on.
            if wanted.get(key) != target_run.target:
                del self._target_runs[key]
                self._leaving |= target_run.leave()
        self._leaving = {task for task in self._leaving if not task.done()}
        spread = START_SPACING * len(wanted)
        for key, target in wanted.items():
            if key not in self._target_runs:
                self._target_runs[key] = self._enter(target, spread)
        self._heap = [entry for entry in self._heap if self._target_runs.get(entry[2].target.key) is entry[2]]
        heapq.heapify(self._heap)
        self._stop_dispatcher()
        self._dispatcher = asyncio.create_task(self._dispatch())

    def overdue(self) -> float:
        """Seconds that the longest overdue regular run has been waiting to begin; 0 when none is late."""
        due = min((target_run.due for target_run in self._target_runs.values()), default=math.inf)
        return max(0.0, self._clock.monotonic() - due)

    async def stop(self) -> None:
        """Break off every run and wait until all are over."""
        self._stop_dispatcher()
        for target_run in self._target_runs.values():
            self._leaving |= target_run.leave()
        self._target_runs, self._heap = {}, []
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def fresh(self, key: Key) -> Result:
        """The result of a run that begins now, or once the one in flight is over; all who wait for it share it.

        Raises GoneError when there is no such target, or no longer.
        """
        target_run = self._target_runs.get(key)
        if target_run is None:
            raise GoneError(f"{'/'.join(key)} is not probed")
        task = target_run.asked
        # All who ask before it begins share one run: a hundred health checks are no reason to probe a hundred times.
        if task is None:
            task = target_run.asked = target_run.start(self._ask(target_run))
        # `wait`, since awaiting the task itself would cancel it with the first of them who hangs up.
        await asyncio.wait({task})
        if task.cancelled():
            raise GoneError(f"{'/'.join(key)} is no longer probed")
        return task.result()

    def place(self, server: str | None, kind: str) -> AbstractAsyncContextManager[None]:
        """A place at a server for a run on request: it counts under the same bound as what is scheduled there."""
        return self._slots.at(server, kind)

    async def _ask(self, target_run: TargetRun) -> Result:
        async with target_run.turn, self._slots.one(target_run.target, hung=target_run.hung):
            # From here on it is under way: who asks now wants a newer one.
            target_run.asked = None
            return await self._run(target_run)

    def _enter(self, target: Target, spread: float) -> TargetRun:
        """Runs of a target: one soon, then at the target's own times; a first of these that is too soon is left out."""
        begin = self._clock.monotonic()
        first = begin + target.fraction * min(_FIRST_RUNS * target.interval, spread)
        regular = begin + target.fraction * target.interval
        if regular - first < target.interval / 2:
            regular += target.interval
        target_run = TargetRun(target, regular, due=first)
        self._look_at(target_run, first)
        return target_run

    def _look_at(self, target_run: TargetRun, at: float) -> None:
        target_run.next = at
        heapq.heappush(self._heap, (at, next(self._order), target_run))

    async def _dispatch(self) -> None:
        """Begin each target's runs at their times, until it is cancelled."""
        while self._heap:
            wait = self._heap[0][0] - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
                continue
            # After a pause of the machine thousands are due: they are begun in portions, and scrapes are answered
            # between them.
            for _ in range(_AT_ONCE):
                if not self._heap or self._heap[0][0] > self._clock.monotonic():
                    break
                self._begin(heapq.heappop(self._heap)[2])
            await asyncio.sleep(0)

    def _begin(self, target_run: TargetRun) -> None:
        """Begin a run, unless the one before is still not done; and see when the next is to begin."""
        at = target_run.next
        self._look_at(target_run, target_run.regular + target_run.target.shift(target_run.number))
        target_run.regular = self._following(target_run)
        target_run.number += 1
        if target_run.run is None or target_run.run.done():
            # Noted before it has a place: what waits for one is late, and overdue() has to show it.
            target_run.due = at
            target_run.run = target_run.start(self._run_due(target_run, at))
        else:
            # Not queued behind the other: a target that takes longer than its interval would be probed without a
            # pause.
            self.missed += 1

    def _following(self, target_run: TargetRun) -> float:
        """The regular time after the target's next; times that are long past are missed, and not caught up with."""
        following = target_run.regular + target_run.target.interval
        late = self._clock.monotonic() - following
        if late <= 0:
            return following
        skipped = math.ceil(late / target_run.target.interval)
        self.missed += skipped
        return following + skipped * target_run.target.interval

    async def _run_due(self, target_run: TargetRun, at: float) -> None:
        async with target_run.turn, self._slots.one(target_run.target, hung=target_run.hung):
            self.start_lag.note(max(0.0, self._clock.monotonic() - at))
            # A run that never ends is overdue from then on.
            target_run.due = target_run.next
            await self._run(target_run)
        target_run.due = target_run.next

    def _stop_dispatcher(self) -> None:
        if self._dispatcher:
            self._dispatcher.cancel()
            self._leaving.add(self._dispatcher)

    async def _run(self, target_run: TargetRun) -> Result:
        target = target_run.target
        self.running += 1
        try:
            result = await run(target.probe, limit=target.timeout, clock=self._clock, conceal=target.settings.conceal)
        finally:
            self.running -= 1
        target_run.hung = result.duration >= _HUNG * target.timeout
        try:
            self._report(target, result)
        except Exception:
            # A result that cannot be put up must not end the target's runs.
            log.exception("a result could not be noted", **target.key._asdict())
        if isinstance(target.probe, Settling):
            # Its place is free when the server has no session of it any more.
            await target.probe.settled()
        return result
