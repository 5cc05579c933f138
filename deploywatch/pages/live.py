"""Pages renew themselves: one look at what has changed for all streams, told to each by server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from deploywatch import logs
from deploywatch.access.scopes import STILL
from deploywatch.errors import DeploywatchError
from deploywatch.pages.answer import HEADERS

log = logs.get("live")

PATH: Final = "/live"
"""Where pages listen."""
BEAT_SECONDS: Final = 10.0
"""How often a stream says that it lives; a page that hears nothing for 35 s says that it is not live."""
LOOK_SECONDS: Final = 0.5
"""How often it is looked whether something has changed, while anybody listens."""
STILL_SECONDS: Final = 5.0
"""How often a stream asks whether whoever listens may still do so."""
MOST: Final = 200
"""Streams that are open at the same time."""
SPREAD_SECONDS: Final = 0.8
"""Within which all streams are told of one change: each loads a page then, and webhooks have their turn between."""
REST_SECONDS: Final = 0.04
"""How long, for each stream, nothing new is told after something was: a storm loads 25 pages a second at most."""
_PATIENCE_SECONDS = 20.0  # for a look, and for what is sent to one that does not read
_PAUSE_SECONDS = 0.02  # between two streams, where they are few
_RETRY = "5"

Look = Callable[[], Awaitable[str]]
Still = Callable[[], Awaitable[bool]]


class Refused(StrEnum):
    """Why a stream was not opened."""

    FULL = "full"
    STOPPING = "stopping"


class Ended(StrEnum):
    """Why a stream ended."""

    GONE = "gone"
    REVOKED = "revoked"
    SLOW = "slow"
    STOPPING = "stopping"


_SAID = {
    Refused.FULL: f"{MOST} pages are renewed by themselves already; this one is not until another is closed\n",
    Refused.STOPPING: "this server is shutting down\n",
}


@dataclass(eq=False, slots=True)
class _Stream:
    """One that listens; `ended` becomes known once it is to end."""

    request: web.Request
    response: web.StreamResponse
    ended: asyncio.Future[Ended] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    slow_since: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there any more."""
        transport = self.request.transport
        return transport is None or transport.is_closing()

    def end(self, why: Ended) -> None:
        """End it, unless it ends already."""
        if not self.ended.done():
            self.ended.set_result(why)

    async def tell(self, message: bytes, now: float) -> bool:
        """Send it at once; False where what came before is not taken yet, so that this is left out."""
        transport = self.request.transport
        if self.ended.done() or transport is None or transport.is_closing():
            self.end(Ended.GONE)
        elif transport.get_write_buffer_size():
            self.slow_since = now if self.slow_since is None else self.slow_since
            if now - self.slow_since >= _PATIENCE_SECONDS:
                self.end(Ended.SLOW)
            return False
        else:
            self.slow_since = None
            try:
                await self.response.write(message)
            except ConnectionError:
                self.end(Ended.GONE)
        return True


class Live:
    """The streams of one server; `look` gives a text that differs whenever a page would."""

    def __init__(self, look: Look, registry: CollectorRegistry) -> None:
        self._look = look
        self._streams: set[_Stream] = set()
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False
        self._newest: bytes | None = None
        self._open = Gauge("deploywatch_live_streams", "Pages that are renewed by themselves.", registry=registry)
        self._open.set_function(lambda: len(self._streams))
        about = "Pages that could not be renewed by themselves, by reason."
        self._refused = Counter("deploywatch_live_refused", about, ["reason"], registry=registry)
        about = "Streams that ended, by reason."
        self._ended = Counter("deploywatch_live_ended", about, ["reason"], registry=registry)
        about = "Messages that a slow stream never got, because a newer one took their place."
        self._skipped = Counter("deploywatch_live_skipped", about, registry=registry)
        for refused in Refused:
            self._refused.labels(refused)
        for ended in Ended:
            self._ended.labels(ended)

    async def stop(self, _: web.Application | None = None) -> None:
        """End every stream at once, and open no other."""
        self._stopping = True
        for stream in self._streams:
            stream.end(Ended.STOPPING)
        if self._watching is not None:
            self._watching.cancel()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Tell one page what has changed for as long as it listens, and may."""
        still = request.get(STILL)

        async def allowed() -> bool:
            return still is None or await still.ask() is not None

        return await self.listen(request, allowed)

    async def listen(self, request: web.Request, allowed: Still) -> web.StreamResponse:
        """Tell it while `allowed` says so; 503 with the reason where there is no room."""
        why = Refused.STOPPING if self._stopping else Refused.FULL if self._is_full() else None
        if why is not None:
            self._refused.labels(why).inc()
            return web.Response(status=503, text=_SAID[why], headers={"Retry-After": _RETRY})
        headers = {**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        try:
            await response.prepare(request)
        except ConnectionError:  # it is gone already
            self._ended.labels(Ended.GONE).inc()
            return web.Response(status=503)
        if request.method == "HEAD":
            return response
        stream = _Stream(request, response)
        if self._newest is not None:
            await stream.tell(self._newest, time.monotonic())
        self._streams.add(stream)
        if self._stopping:  # since it was let in
            stream.end(Ended.STOPPING)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="live")
        ended = Ended.GONE
        try:
            ended = await _listens(stream, allowed)
        finally:
            self._streams.discard(stream)
            stream.end(ended)  # whoever tells just now sends it nothing more
            self._ended.labels(ended).inc()
        response.force_close()
        return response

    def _is_full(self) -> bool:
        return len(self._streams) >= MOST and self._listening() >= MOST

    def _listening(self) -> int:
        """How many streams somebody still reads."""
        return sum(not stream.is_gone for stream in self._streams)

    async def _watch(self) -> None:
        """Look while anybody listens; a store that does not answer has no beat, and says why."""
        known, beaten = "", 0.0
        try:
            while self._streams:
                now = time.monotonic()
                seen, trouble = await self._looked()
                rest = REST_SECONDS * self._listening()
                if now - beaten >= BEAT_SECONDS or (seen != known and not trouble and now - beaten >= rest):
                    known, beaten = (known if trouble else seen), now
                    await self._publish({"trouble": trouble} if trouble else {"change": seen})
                await asyncio.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - now)))
        finally:
            self._watching = self._newest = None

    async def _looked(self) -> tuple[str, str]:
        """What the look gave, or why it gave nothing."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._look(), ""
        except TimeoutError:
            return "", f"nothing could be read within {_PATIENCE_SECONDS:g} s"
        except DeploywatchError as error:
            return "", str(error)
        except Exception:
            log.exception("it cannot be said whether pages have changed")
            return "", "a fault of deploywatch's own; its log has it"

    async def _publish(self, news: dict[str, str]) -> None:
        self._newest = message = f"data: {json.dumps(news)}\n\n".encode()
        # One after the other, with a pause after each, in which webhooks have their turn.
        pause = min(_PAUSE_SECONDS, SPREAD_SECONDS / max(1, len(self._streams)))
        for stream in list(self._streams):
            if not await stream.tell(message, time.monotonic()):
                self._skipped.inc()
            await asyncio.sleep(pause)


async def _listens(stream: _Stream, allowed: Still) -> Ended:
    """Wait until it ends, and ask now and then whether whoever listens may still do so; why it ended."""
    while True:
        done, _ = await asyncio.wait([stream.ended], timeout=STILL_SECONDS)
        if done:
            return stream.ended.result()
        if stream.is_gone:
            return Ended.GONE
        if not await allowed():
            return Ended.REVOKED
