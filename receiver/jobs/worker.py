"""The worker: leases due jobs, runs them, keeps their leases, and stores how they ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from deploywatch import logs
from deploywatch.clock import Now, Sleep
from deploywatch.receiver.jobs.queue import (
    LEASE,
    Handler,
    Job,
    Outcome,
    backoff,
    claim,
    extend,
    finish,
    next_due,
    retry,
)
from deploywatch.receiver.store import Store, StoreError

log = logs.get("jobs")

RENEWED = timedelta(seconds=5)
"""How often leases are renewed, so that three renewals must fail before one is lost."""
CLOCKS_APART = timedelta(seconds=5)
"""By how much the clocks of replicas may differ: so long before its end a lease counts as lost."""
# Jobs of this process wake the worker at once; this is for those that another replica has queued.
POLL_SECONDS = 1.0
CONCURRENCY = 256
"""Jobs that a worker runs at a time: many more than a queue's, because most of them wait for somebody's answer."""
GATHER_SECONDS = 0.01
"""How long a look at the queue waits for more that is queued or ends just then: looks are dear, and most come alone."""


class Worker:
    """Runs due jobs with their handlers, many at a time, until it is stopped.

    A job whose kind is `fenced` is cut off when its lease may be over, as after the process was paused: another worker
    may have it by then.
    """

    def __init__(
        self,
        store: Store,
        handlers: Mapping[str, Handler],
        *,
        owner: str,
        clock: Now,
        concurrency: int = CONCURRENCY,
        fenced: Collection[str] = (),
        lease_sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._fenced = fenced
        self._lease_sleep = lease_sleep
        self._store = store
        self._handlers = handlers
        self._owner = owner
        self._clock = clock
        self._concurrency = concurrency
        self._running: dict[int, asyncio.Task[None]] = {}
        self._jobs: dict[int, Job] = {}
        self._fences: dict[int, asyncio.Timeout] = {}
        self._wake = asyncio.Event()
        self._due: datetime | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self.finished: Callable[[Job, Outcome], None] = lambda _job, _outcome: None

    def wake(self) -> None:
        """Look for due jobs now: something was queued."""
        self._wake.set()

    async def run(self) -> None:
        """Work until `stop`; trouble with the store is waited out."""
        self._idle.clear()
        try:
            while not self._stopping:
                try:
                    await self._start_due()
                    pause = self._pause()
                except StoreError as error:
                    log.error("jobs wait for the store", reason=str(error))
                    pause = POLL_SECONDS
                await self._sleep(pause)
        finally:
            self._idle.set()

    async def keep_leases(self) -> None:
        """Renew the leases of what runs, until cancelled; `stop` needs it too, while it waits."""
        while True:
            await self._lease_sleep(RENEWED.total_seconds())
            held, fence, until = list(self._running), _fence(), self._clock() + LEASE
            if not held:
                continue
            try:
                ours = await self._store.write(partial(extend, owner=self._owner, held=held, until=until))
            except StoreError as error:
                log.error("leases could not be extended", reason=str(error))
                continue
            for number in self._fences.keys() & ours:
                if not self._fences[number].expired():
                    self._fences[number].reschedule(fence)

    async def stop(self, grace: float) -> None:
        """Start nothing more, wait `grace` seconds for what runs, then cancel it."""
        self._stopping = True
        self.wake()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace)  # what is being claimed just now is started first
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace)
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def drain(self) -> None:
        """Run every job that is due until none is left; the jobs that they queue too."""
        while await self._start_due() or self._running:
            await asyncio.gather(*self._running.values())

    async def _start_due(self) -> int:
        room = self._concurrency - len(self._running)
        if room <= 0:
            return 0
        now, running, fence = self._clock(), dict(self._jobs), _fence()

        def look(connection: Connection) -> tuple[list[Job], datetime | None]:
            claimed = claim(connection, now, self._owner, room, running=running)
            return claimed, next_due(connection, (*running.values(), *claimed))

        claimed, self._due = await self._store.write(look)
        for job in claimed:
            task = asyncio.create_task(self._run_one(job, fence), name=job.key)
            self._running[job.id] = task
            self._jobs[job.id] = job
            task.add_done_callback(lambda _, number=job.id: self._ended(number))  # type: ignore[misc] # mypy sees no type for the default
        return len(claimed)

    def _ended(self, number: int) -> None:
        del self._running[number], self._jobs[number]
        self.wake()

    async def _run_one(self, job: Job, fence: float) -> None:
        try:
            outcome = await self._run_fenced(job, fence)
        except StoreError as error:
            outcome = retry(str(error), backoff(job.attempts), reason="store")
        except Exception as error:
            log.exception("a job broke", kind=job.kind, key=job.key, attempts=job.attempts)
            outcome = retry(f"internal error: {error!r}", backoff(job.attempts), reason="internal")
        if outcome is None:
            log.warning("a job was cut off, as its lease may be over", key=job.key)
        elif not await self._finish_some_time(job, outcome):
            log.warning("a job was finished by someone else meanwhile", key=job.key)

    async def _run_fenced(self, job: Job, fence: float) -> Outcome | None:
        """Run it; None when it was cut off: whoever takes it over then knows that it was."""
        if job.kind not in self._fenced:
            return await self._handlers[job.kind](job)
        timeout = asyncio.timeout_at(fence)
        try:
            async with timeout:
                self._fences[job.id] = timeout
                return await self._handlers[job.kind](job)
        except TimeoutError:
            if timeout.expired():
                return None
            raise
        finally:
            self._fences.pop(job.id, None)

    async def _finish_some_time(self, job: Job, outcome: Outcome) -> bool:
        """Store how it ended, however long the store is in trouble: what was done is not to be done again."""
        while True:
            try:
                return await self._finish(job, outcome)
            except StoreError as error:
                log.error("the outcome of a job waits for the store", key=job.key, reason=str(error))
                await asyncio.sleep(POLL_SECONDS)

    async def _finish(self, job: Job, outcome: Outcome) -> bool:
        try:
            ours = await self._store.write(lambda c: finish(c, self._clock(), self._owner, job, outcome))
        except StoreError:
            raise
        except Exception as error:
            log.exception("what a job did could not be recorded", kind=job.kind, key=job.key, attempts=job.attempts)
            outcome = retry(f"internal error: {error!r}", backoff(job.attempts), reason="internal")
            ours = await self._store.write(lambda c: finish(c, self._clock(), self._owner, job, outcome))
        if ours:
            self.finished(job, outcome)
        return ours

    def _pause(self) -> float:
        if len(self._running) >= self._concurrency or self._due is None:
            return POLL_SECONDS  # whichever ends first wakes us
        wait = (self._due - self._clock()).total_seconds()
        return min(max(wait, GATHER_SECONDS), POLL_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
            await asyncio.sleep(GATHER_SECONDS)
        self._wake.clear()


def _fence() -> float:
    """When, by the loop's clock, a lease that is taken or renewed from now on may be over."""
    return asyncio.get_running_loop().time() + (LEASE - CLOCKS_APART).total_seconds()
