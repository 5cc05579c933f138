"""The worker: leases due jobs, runs them, keeps their leases, and stores how they ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from deploywatch import logs
from deploywatch.clock import Now, Sleep
from deploywatch.receiver.jobs.claim import LEASE, Look, extend, finish_all, is_leased, look
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.leasing import Find, Leasing
from deploywatch.receiver.jobs.retry import Handler, Outcome, backoff, retry
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
"""How long a look at the queue, or what has ended, waits for more: transactions are dear, and most come alone."""
FINISHED_AT_ONCE = 64
"""Jobs whose ends are stored in one transaction."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A job that has run, and whoever waits until that is stored."""

    job: Job
    outcome: Outcome
    ours: asyncio.Future[bool]


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
        self._leased: dict[int, Job] = {}
        self._fences: dict[int, asyncio.Timeout] = {}
        self._wake = asyncio.Event()
        self._due: datetime | None = None
        self._ended: list[_Ended] = []
        self._all_ended = asyncio.Event()
        self._finishing: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self.finished: Callable[[Job, Outcome], None] = lambda _job, _outcome: None
        self.lost: Callable[[Connection, Job, Outcome | None], object] = lambda _connection, _job, _outcome: None
        """Called, in a transaction, for a job that ran on although another worker has it; None when it was cut off."""

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
        deadline = asyncio.get_running_loop().time() + grace
        while self._running and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(list(self._running.values()), timeout=left)
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        if self._finishing:
            await asyncio.wait([self._finishing])

    async def drain(self) -> None:
        """Run every job that is due until none is left; the jobs that they queue too."""
        while self._running or await self._start_due():
            await asyncio.gather(*self._running.values())

    async def _start_due(self) -> int:
        with self._lease(self._look) as leasing:
            await self._store.write(leasing.look)
        return len(self._running)

    def leasing(self) -> Leasing:
        """For a transaction that queues or ends jobs, and leases in it what is due then; else there is `wake`."""
        return self._lease(lambda connection, ended: None if self._stopping else self._look(connection, ended))

    def _lease(self, find: Find) -> Leasing:
        return Leasing(find=find, start=self._start, fence=_fence(), leased=self._leased)

    def _look(self, connection: Connection, ended: Collection[int]) -> Look | None:
        """Lease what is due and has room; it may run in another thread."""
        running = {number: job for number, job in (self._jobs | self._leased).items() if number not in ended}
        room = self._concurrency - len(running)
        if room <= 0:
            return None
        return look(connection, self._clock(), self._owner, room, running=running)

    def _start(self, look: Look, fence: float) -> None:
        self._due = look.next_due
        for job in look.claimed:
            task = asyncio.create_task(self._run_one(job, fence), name=job.key)
            self._running[job.id] = task
            self._jobs[job.id] = job
            task.add_done_callback(lambda _, number=job.id: self._is_over(number))  # type: ignore[misc] # mypy sees no type for the default
        pause = self._pause()
        if pause < POLL_SECONDS:
            asyncio.get_running_loop().call_later(pause, self.wake)

    def _is_over(self, number: int) -> None:
        del self._running[number], self._jobs[number]

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
            await self._say_lost(job, None)
        elif not await self._finish_some_time(job, outcome):
            log.warning("a job was finished by someone else meanwhile", key=job.key)
            await self._say_lost(job, outcome)

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

    async def _say_lost(self, job: Job, outcome: Outcome | None) -> None:
        """Have what follows from a lost lease be written, however long the store is in trouble."""

        def write(connection: Connection) -> None:
            if not is_leased(connection, job, self._owner):
                self.lost(connection, job, outcome)

        while True:
            try:
                await self._store.write(write)
            except StoreError as error:
                log.error("what follows from a lost lease waits for the store", key=job.key, reason=str(error))
                await asyncio.sleep(POLL_SECONDS)
            except Exception:
                log.exception("what follows from a lost lease could not be recorded", kind=job.kind, key=job.key)
                break
            else:
                break
        self.wake()

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
            return await self._finish_with_others(job, outcome)
        except StoreError:
            raise
        except Exception as error:
            log.exception("what a job did could not be recorded", kind=job.kind, key=job.key, attempts=job.attempts)
            outcome = retry(f"internal error: {error!r}", backoff(job.attempts), reason="internal")
            return await self._finish_with_others(job, outcome)

    async def _finish_with_others(self, job: Job, outcome: Outcome) -> bool:
        """Store how it ended, together with others that end just then; False when the lease was no longer ours."""
        ended = _Ended(job, outcome, asyncio.get_running_loop().create_future())
        self._ended.append(ended)
        if len(self._ended) >= len(self._running):
            self._all_ended.set()
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish_all(), name="finish-jobs")
        ours = await ended.ours
        if ours:
            self._say_finished(job, outcome)
        return ours

    def _say_finished(self, job: Job, outcome: Outcome) -> None:
        try:
            self.finished(job, outcome)
        except Exception:
            # What is stored is stored: neither this job nor those that ended with it are run again for it.
            log.exception("what listens for jobs broke", kind=job.kind, key=job.key)

    async def _finish_all(self) -> None:
        try:
            while self._ended:
                if len(self._ended) < len(self._running):
                    self._all_ended.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._all_ended.wait(), GATHER_SECONDS)
                batch, self._ended = self._ended[:FINISHED_AT_ONCE], self._ended[FINISHED_AT_ONCE:]
                await self._finish_batch(batch)
        finally:
            self._finishing = None

    async def _finish_batch(self, batch: Sequence[_Ended]) -> None:
        """Commit how these jobs ended and look for the next ones, in one transaction; where that fails, each alone."""
        ends = [(ended.job, ended.outcome) for ended in batch]

        def finish(connection: Connection) -> set[int]:
            ours = finish_all(connection, self._clock(), self._owner, ends)
            leasing.look(connection, {job.id for job, _ in ends})
            return ours

        try:
            with self.leasing() as leasing:
                ours = await self._store.write(finish)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, StoreError):
                for ended in batch:
                    await self._finish_batch([ended])
                return
            for waiting in _waiting(batch):
                waiting.ours.set_exception(error)
            return
        for waiting in _waiting(batch):
            waiting.ours.set_result(waiting.job.id in ours)

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


def _waiting(batch: Sequence[_Ended]) -> list[_Ended]:
    return [ended for ended in batch if not ended.ours.done()]
