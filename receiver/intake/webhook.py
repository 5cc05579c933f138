"""Alertmanager's webhook, version 4: understood, committed together with what came at the same time, then answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from aiohttp import web
from sqlalchemy import Connection, insert

from deploywatch import logs
from deploywatch.access.scopes import IDENTITY, Identity
from deploywatch.receiver.client import OURS
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents.dedup_cache import REMEMBERED, AlertCache
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import Taken, ingest
from deploywatch.receiver.intake.pace import Pace
from deploywatch.receiver.intake.payload import RejectedError, understand_in_turns
from deploywatch.receiver.jobs.leasing import Leasing
from deploywatch.receiver.metrics import Counters
from deploywatch.receiver.store import StoreError, UnfitError, insert_all
from deploywatch.receiver.store.schema import quarantine
from deploywatch.web.bodies import Bodies, TooLargeError, TooMuchError

log = logs.get("webhook")

# Webhooks of one transaction: a commit costs the same for many, and each waits for all of them.
_BATCH = 64
# With more waiting, 503 is better: Alertmanager tries again, and nothing is lost with this process.
_BACKLOG = 2000
# Bytes of a body that is kept because it could not be understood.
_QUARANTINE_LIMIT = 1024**2
_NAME_SHOWN = 60
# By which the command line tells it from what a proxy says.
_OURS = {OURS: "webhook"}


@dataclass(slots=True)
class _Waiting:
    """A webhook that waits: where the alerts begin that are still to be taken in, and who is answered at the end."""

    delivery: Delivery
    answer: asyncio.Future[None]
    first: int = 0

    @property
    def left(self) -> int:
        """How many of its alerts are still to be taken in."""
        return len(self.delivery.alerts) - self.first


class Intake:
    """Commits deliveries, as many together as are waiting, and answers each one once it is safe.

    A delivery of very many alerts is committed slice by slice, and others between them; what was committed of it stays
    when it breaks off, and changes nothing when it comes again. `pace` says how many alerts a transaction takes.
    """

    def __init__(
        self,
        context: Context,
        *,
        committed: Callable[[Taken], None],
        leasing: Callable[[], Leasing],
        pace: Pace | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._context = context
        self._leasing = leasing
        self._committed = committed
        self._pace = pace or Pace()
        self._timer = timer
        self._waiting: deque[_Waiting] = deque()
        self._came = asyncio.Event()
        self.alert_cache = AlertCache(shared=not context.store.is_sqlite)
        self._closed = False

    @property
    def backlog(self) -> int:
        """How many deliveries wait for their commit."""
        return len(self._waiting)

    async def accept(self, delivery: Delivery) -> None:
        """Return once the delivery and all that follows from it are committed.

        StoreError when they are not, just now; UnfitError when they can never be.
        """
        if self._closed:
            raise StoreError("shutting down")
        # Refused early, with Retry-After, costs a connection; taken in and timed out, it costs the work twice.
        if self.backlog >= _BACKLOG:
            raise StoreError(f"{self.backlog} webhooks are waiting already")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(delivery, future))
        self._came.set()
        await future

    async def run(self) -> None:
        """Commit what comes, until cancelled; whoever still waits then is told to try again."""
        batch: list[_Waiting] = []
        try:
            while True:
                await self._came.wait()
                batch = self._next()
                if not self._waiting:
                    self._came.clear()
                await self._commit(batch)
                # What is left of a webhook comes after those that have waited meanwhile.
                self._waiting.extend(waiting for waiting in batch if waiting.left)
                if self._waiting:
                    self._came.set()
        finally:
            self._closed = True
            for waiting in (*batch, *self._waiting):
                _answer(waiting, StoreError("shutting down"))
            self._waiting.clear()

    def _next(self) -> list[_Waiting]:
        """The webhooks that are taken in by the next transaction, in the order in which they came.

        One that does not fit beside others waits for the next, and one that does not fit at all has it for itself.
        """
        batch: list[_Waiting] = []
        room = self._pace.alerts
        while self._waiting and len(batch) < _BATCH and (not batch or self._waiting[0].left <= room):
            batch.append(self._waiting.popleft())
            room -= batch[-1].left
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commit each, or the next slice of one that is too large; who is committed as a whole is answered."""
        deliveries = [waiting.delivery.part(waiting.first, self._pace.alerts) for waiting in batch]
        taken_in = sum(len(delivery.alerts) for delivery in deliveries)

        def take(connection: Connection) -> Taken:
            now = self._context.clock()
            taken = ingest(connection, self._context.settings, deliveries, now, self.alert_cache)
            # In the same transaction: a job that is due now is leased at once, and needs no look of its own.
            if taken.queued:
                leasing.look(connection)
            return taken

        begun = self._timer()
        try:
            with self._leasing() as leasing:
                taken = await self._context.store.write(take)
        except BaseException as error:
            # It may remember what was rolled back.
            self.alert_cache.forget()
            if not isinstance(error, Exception):
                raise
            await self._recover(batch, error)
            return
        self.alert_cache.forget(beyond=REMEMBERED)
        self._pace.took(self._timer() - begun, taken_in)
        for waiting, delivery in zip(batch, deliveries, strict=True):
            waiting.first += len(delivery.alerts)
            if not waiting.left:
                _answer(waiting, None)
        self._committed(taken)

    async def _recover(self, batch: list[_Waiting], error: Exception) -> None:
        """One bad delivery must not take the others with it: alone, each succeeds or fails for itself."""
        if len(batch) > 1 and not isinstance(error, StoreError):
            for waiting in batch:
                await self._commit([waiting])
            return
        if not isinstance(error, StoreError):
            log.exception("a delivery could not be taken in", exc_info=error)
        for waiting in batch:
            waiting.first = len(waiting.delivery.alerts)  # nothing more of it is taken in
            _answer(waiting, error)


def _answer(waiting: _Waiting, error: Exception | None) -> None:
    future = waiting.answer
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _of_source(request: web.Request) -> dict[str, str]:
    """The labels of the source: what its credential says wins over what its URL says."""
    claimed, proven = _labels(request), request.get(IDENTITY, Identity()).labels
    if other := {name: value for name, value in claimed.items() if proven.get(name, value) != value}:
        log.warning(
            "a webhook's URL says other labels than its credential, which wins", said=other, proven=dict(proven)
        )
    return {**claimed, **proven}


def _labels(request: web.Request) -> dict[str, str]:
    """The labels of the source, which its URL says: `?environment=staging`; RejectedError for what says nothing."""
    labels: dict[str, str] = {}
    for name, value in request.query.items():
        if not name or not value.strip() or labels.setdefault(name, value) != value:
            raise RejectedError(f"the webhook's URL: write each label once, with a value, not {name[:_NAME_SHOWN]!r}")
    return {name: value.replace("\0", "") for name, value in labels.items()}


class Endpoint:
    """`POST /webhook/alertmanager`: 200 once committed, 400 for what can never be right, 503 to try again."""

    def __init__(self, context: Context, intake: Intake, counters: Counters) -> None:
        self._context = context
        self._intake = intake
        self._counters = counters
        self._bodies = Bodies()
        self._accepted = counters.webhooks.labels("accepted")

    async def __call__(self, request: web.Request) -> web.Response:
        """Answer one webhook."""
        try:
            async with self._bodies.read(request, limit=self._context.settings.max_body) as body:
                return await self._take(request, body)
        except TooLargeError as error:
            return await self._reject(request, b"", f"{error}; lower max_alerts")
        except TooMuchError as error:
            return self._later(str(error))

    async def _take(self, request: web.Request, body: bytes) -> web.Response:
        try:
            begun = time.perf_counter()
            delivery = await understand_in_turns(body, self._context.clock(), _of_source(request))
            if delivery.rejected:
                delivery = replace(delivery, also=self._put_aside(request, delivery))
            await self._intake.accept(delivery)
            self._counters.commit_seconds.observe(time.perf_counter() - begun)
        except (RejectedError, UnfitError) as error:
            return await self._reject(request, body, str(error))
        except StoreError as error:
            return self._later(str(error))
        except Exception:
            # A fault of ours: counted under its own name, since it needs us and not the operator.
            self._counters.answered("broken")
            raise  # answered with 500, so that Alertmanager sends it again
        self._accepted.inc()
        if delivery.rejected:
            self._counters.unreadable.inc(len(delivery.rejected))
            return web.Response(text=f"committed, but for: {'; '.join(delivery.rejected)}\n", headers=_OURS)
        return web.Response(body=b"committed\n", content_type="text/plain", headers=_OURS)

    def _put_aside(self, request: web.Request, delivery: Delivery) -> Callable[[Connection], None]:
        """Keep a body of which some alerts could not be read, in the transaction that takes in the others."""
        reason, remote = "; ".join(delivery.rejected), request.remote or ""
        log.warning("some alerts of a webhook were put aside", reason=reason, remote=request.remote)
        body = delivery.body[:_QUARANTINE_LIMIT]
        row = {"received_at": delivery.received_at, "reason": reason, "remote": remote, "body": body}
        return lambda connection: insert_all(connection, quarantine, [row])

    def _later(self, reason: str) -> web.Response:
        self._counters.answered("unavailable")
        log.error("a webhook could not be stored; Alertmanager will send it again", reason=reason)
        return web.Response(status=503, text=f"not stored, send it again: {reason}\n", headers={"Retry-After": "5"})

    async def _reject(self, request: web.Request, body: bytes, reason: str) -> web.Response:
        self._counters.answered("rejected")
        log.warning("a webhook was rejected", reason=reason, remote=request.remote)
        row = {
            "received_at": self._context.clock(),
            "reason": reason,
            "remote": request.remote or "",
            "body": body[:_QUARANTINE_LIMIT],
        }
        with contextlib.suppress(StoreError, UnfitError):  # the answer says what is wrong even when it cannot be kept
            await self._context.store.write(lambda connection: connection.execute(insert(quarantine), [row]))
        return web.Response(status=400, text=f"{reason}\n")
