"""Alertmanager's webhook, version 4: understood, committed together with what came at the same time, then answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import insert

from deploywatch import logs
from receiver import bodies
from receiver.bodies import BodyError
from receiver.clock import UtcTime, in_utc
from receiver.desk import Desk
from receiver.incidents.ingest import REMEMBERED, Delivery, Recall, ingest
from receiver.incidents.rules import Alert, Effect, Reason
from receiver.incoming import Bodies, TooLargeError, TooMuchError
from receiver.metrics import Counters
from receiver.store import StoreError, UnfitError
from receiver.store.schema import quarantine

log = logs.get("webhook")

_BATCH = 64
_BACKLOG = 2000
_QUARANTINE_LIMIT = 1024**2
_FAULTS_LIMIT = 64 * 1024
_FAULT_LENGTH = 500
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NEVER = 1  # the year of Alertmanager's "no end yet"


class _AlertPayload(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: Annotated[UtcTime, Field(alias="startsAt")]
    ends_at: Annotated[UtcTime | None, Field(alias="endsAt")] = None
    generator_url: Annotated[str, Field(alias="generatorURL")] = ""
    fingerprint: Annotated[str, Field(min_length=1, max_length=100)]


class Payload(BaseModel):
    """The body of a webhook; fields that we do not know are ignored, because payloads gain some over time."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal["4"]
    alerts: tuple[_AlertPayload, ...]
    truncated_alerts: Annotated[int, Field(alias="truncatedAlerts")] = 0


class _QuickAlert(msgspec.Struct):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="startsAt")
    ends_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = msgspec.field(name="endsAt", default=None)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    generator_url: str = msgspec.field(name="generatorURL", default="")


class _QuickPayload(msgspec.Struct):
    """What `Payload` is, read in a quarter of the time."""

    version: Literal["4"]
    alerts: list[_QuickAlert]


_QUICK = msgspec.json.Decoder(_QuickPayload)


class RejectedError(Exception):
    """The body can never be right; the text says what is wrong with it."""


def understand(body: bytes, received_at: datetime) -> Delivery:
    """Read a body; RejectedError says with JSON paths what is wrong."""
    try:
        alerts: Sequence[_QuickAlert | _AlertPayload] = _QUICK.decode(body).alerts
        for quick in alerts:
            quick.starts_at = in_utc(quick.starts_at)
            quick.ends_at = in_utc(quick.ends_at) if quick.ends_at else None
    except (msgspec.MsgspecError, ValueError, RecursionError) as first:
        # The quick reader stops at the first fault; the other finds all of them, each of which costs a kilobyte.
        if len(body) > _FAULTS_LIMIT:
            raise RejectedError(f"not an Alertmanager webhook of version 4: {_told(first)}") from first
        try:
            alerts = bodies.read(body, Payload).alerts
        except BodyError as error:
            raise RejectedError(f"not an Alertmanager webhook of version 4: {error}") from error
    clean = b"\\u0000" not in body
    return Delivery(received_at, body, tuple(_alert(one, clean=clean) for one in alerts))


def _told(fault: Exception) -> str:
    """The fault in a line, which may quote from the body; what would be put in quarantine and shown is printable."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(fault)[:_FAULT_LENGTH])


def _alert(one: _AlertPayload | _QuickAlert, *, clean: bool) -> Alert:
    ended = one.status == "resolved" and one.ends_at is not None and one.ends_at.year > _NEVER
    return Alert(
        one.fingerprint,
        one.status == "firing",
        one.starts_at,
        one.ends_at if ended else None,
        one.labels if clean else _storable(one.labels),
        one.annotations if clean else _storable(one.annotations),
        one.generator_url if clean else one.generator_url.replace("\0", _REPLACEMENT),
    )


def _storable(texts: dict[str, str]) -> dict[str, str]:
    """Prometheus allows any character; PostgreSQL stores every one but NUL."""
    return {name.replace("\0", _REPLACEMENT): text.replace("\0", _REPLACEMENT) for name, text in texts.items()}


class Intake:
    """Commits deliveries, as many together as are waiting, and answers each one once it is safe."""

    def __init__(self, desk: Desk, *, committed: Callable[[Counter[tuple[Effect, Reason]]], None]) -> None:
        self._desk = desk
        self._committed = committed
        self._waiting: asyncio.Queue[tuple[Delivery, asyncio.Future[None]]] = asyncio.Queue()
        # Several replicas write to one PostgreSQL, so that there only the store knows.
        self._recall = Recall() if desk.store.is_sqlite else None
        self._closed = False

    @property
    def backlog(self) -> int:
        """How many deliveries wait for their commit."""
        return self._waiting.qsize()

    async def accept(self, delivery: Delivery) -> None:
        """Return once the delivery and all that follows from it are committed.

        StoreError when they are not, just now; UnfitError when they can never be.
        """
        if self._closed:
            raise StoreError("shutting down")
        if self.backlog >= _BACKLOG:
            raise StoreError(f"{self.backlog} webhooks are waiting already")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((delivery, future))
        await future

    async def run(self) -> None:
        """Commit what comes, until cancelled; whoever still waits then is told to try again."""
        batch: list[tuple[Delivery, asyncio.Future[None]]] = []
        try:
            while True:
                batch = [await self._waiting.get()]
                while len(batch) < _BATCH and not self._waiting.empty():
                    batch.append(self._waiting.get_nowait())
                await self._commit(batch)
        finally:
            self._closed = True
            while not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            for _, future in batch:
                _answer(future, StoreError("shutting down"))

    async def _commit(self, batch: list[tuple[Delivery, asyncio.Future[None]]]) -> None:
        deliveries = [delivery for delivery, _ in batch]
        try:
            reasons = await self._desk.store.write(
                lambda connection: ingest(connection, self._desk.settings, deliveries, self._desk.clock(), self._recall)
            )
        except BaseException as error:
            if self._recall:
                self._recall.forget()
            if not isinstance(error, Exception):
                raise
            await self._recover(batch, error)
            return
        if self._recall:
            self._recall.forget(beyond=REMEMBERED)
        for _, future in batch:
            _answer(future, None)
        self._committed(reasons)

    async def _recover(self, batch: list[tuple[Delivery, asyncio.Future[None]]], error: Exception) -> None:
        """One bad delivery must not take the others with it: alone, each succeeds or fails for itself."""
        if len(batch) > 1 and not isinstance(error, StoreError):
            for one in batch:
                await self._commit([one])
            return
        if not isinstance(error, StoreError):
            log.exception("a delivery could not be taken in", exc_info=error)
        for _, future in batch:
            _answer(future, error)


def _answer(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


class Endpoint:
    """`POST /webhook/alertmanager`: 200 once committed, 400 for what can never be right, 503 to try again."""

    def __init__(self, desk: Desk, intake: Intake, counters: Counters) -> None:
        self._desk = desk
        self._intake = intake
        self._counters = counters
        self._bodies = Bodies()

    async def __call__(self, request: web.Request) -> web.Response:
        """Answer one webhook."""
        try:
            async with self._bodies.read(request, limit=self._desk.settings.max_body) as body:
                return await self._take(request, body)
        except TooLargeError as error:
            return await self._reject(request, b"", str(error))
        except TooMuchError as error:
            return self._later(str(error))

    async def _take(self, request: web.Request, body: bytes) -> web.Response:
        try:
            delivery = understand(body, self._desk.clock())
            with self._counters.commit_seconds.time():
                await self._intake.accept(delivery)
        except (RejectedError, UnfitError) as error:
            return await self._reject(request, body, str(error))
        except StoreError as error:
            return self._later(str(error))
        except Exception:
            self._counters.answered("broken")
            raise  # answered with 500, so that Alertmanager sends it again
        self._counters.answered("accepted")
        return web.Response(text="committed\n")

    def _later(self, reason: str) -> web.Response:
        self._counters.answered("unavailable")
        log.error("a webhook could not be stored; Alertmanager will send it again", reason=reason)
        return web.Response(status=503, text=f"not stored, send it again: {reason}\n", headers={"Retry-After": "5"})

    async def _reject(self, request: web.Request, body: bytes, reason: str) -> web.Response:
        self._counters.answered("rejected")
        log.warning("a webhook was rejected", reason=reason, remote=request.remote)
        row = {
            "received_at": self._desk.clock(),
            "reason": reason,
            "remote": request.remote or "",
            "body": body[:_QUARANTINE_LIMIT],
        }
        with contextlib.suppress(StoreError, UnfitError):  # the answer says what is wrong even when it cannot be kept
            await self._desk.store.write(lambda connection: connection.execute(insert(quarantine), [row]))
        return web.Response(status=400, text=f"{reason}\n")
