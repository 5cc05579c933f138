"""Local servers for the exporter's tests, and short ways to run a probe and to look at what it measured."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP
from pydantic import TypeAdapter

from deploywatch.clock import SystemClock
from deploywatch.exporter.probes import AnyProbe
from deploywatch.exporter.probes.port import Entry, PortSettings, Registry
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.results import Result

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_SETTINGS: TypeAdapter[ProbeSettings] = TypeAdapter(AnyProbe)
_REGISTRY: TypeAdapter[dict[str, Entry]] = TypeAdapter(Registry)


async def probe(limit: float = 60.0, *, registry: Mapping[str, Any] | None = None, **settings: Any) -> Result:
    """Run a probe with these settings once, for at most `limit` seconds; a port probe has a `registry` too."""
    made = _SETTINGS.validate_python(settings)
    if isinstance(made, PortSettings):
        made = made.of(_REGISTRY.validate_python(registry))
    result = await run(made.probe(), limit=limit, clock=SystemClock())
    # A counter that is not there at 0 loses its first failure.
    assert result.reason is None or result.reason in made.reasons(), f"{result.reason} is none of {made.reasons()}"
    return result


async def cut(stage: str, first: float = 0.2, **settings: Any) -> tuple[Result, str]:
    """Run a probe until its time is up at this stage (a pattern), and give the result and that time in seconds.

    A machine that is slow may not come as far in the first limit: then one is tried that is eight times as long.
    """
    limit = first
    result = await probe(limit, **settings)
    while not re.search(stage, result.detail) and limit < 30:
        limit *= 8
        result = await probe(limit, **settings)
    return result, f"{limit:g} s"


def measured(result: Result) -> dict[str, float]:
    """The samples by series, written as `name{label=value}`."""
    return {
        sample.family.name
        + ("{" + ",".join(f"{name}={value}" for name, value in sample.labels) + "}" if sample.labels else ""): (
            sample.value
        )
        for sample in result.samples
    }


async def eventually(true: Callable[[], bool | Awaitable[bool]], *, within: float = 90.0) -> None:
    """Poll until something is true; AssertionError when it does not become so."""
    deadline = time.monotonic() + within
    while True:
        answer = true()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < deadline, "it did not become true in its time"
        await asyncio.sleep(0.02)


class Web:
    """An aiohttp server on a free port of this machine, whose answers are set path by path."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._tls = tls
        self._host = host
        self._handlers: dict[str, Handler] = {}
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.callers: list[int] = []
        self.port = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, 0, ssl_context=self._tls).start()
        scheme = "https" if self._tls else "http"
        self.port = self._runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{scheme}://{host}:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def on(self, path: str, handler: Handler) -> str:
        """Answer requests for a path with a handler; gives its URL."""
        self._handlers[path] = handler
        return self.url + path

    def say(
        self, path: str, text: str | bytes = "", *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> str:
        """Answer requests for a path always with this; gives its URL."""
        content = text.encode() if isinstance(text, str) else text

        async def handler(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=content, status=status, headers=headers)

        return self.on(path, handler)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        assert request.transport
        self.callers.append(request.transport.get_extra_info("peername")[1])
        self.bodies.append(await request.read())
        handler = self._handlers.get(request.path)
        if handler is None:
            return web.Response(status=404)
        return await handler(request)


class Tcp:
    """A TCP server on a free port that talks as a coroutine does, over TLS if it has a context for that."""

    def __init__(self, talk: Talk, *, tls: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> int:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def start_at(self, path: str) -> None:
        """Listen on a socket that is a file."""
        self._server = await asyncio.start_unix_server(self._serve, path, ssl=self._tls)

    async def stop(self) -> None:
        """Listen no more and break off what is being said."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await self._talk(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


def saying(data: bytes) -> Talk:
    """A server that reads a request's head and answers with these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return talk


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that takes everything and never answers."""
    while await reader.read(65536):
        pass


def scripted(*turns: bytes, then: Talk = silent) -> Talk:
    """A server that says each of these lines, with a line received between two of them, and then goes on so."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, turn in enumerate(turns):
            if number:
                await reader.readline()
            writer.write(turn)
            await writer.drain()
        await then(reader, writer)

    return talk


def trickling(head: bytes, piece: bytes = b"x") -> Talk:
    """A server that answers and then sends a little, and a little, and never ends."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)

    return talk


def upgrading(context: ssl.SSLContext) -> Talk:
    """A server that begins TLS."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(context)
        await silent(reader, writer)

    return talk


@contextlib.asynccontextmanager
async def mail(context: ssl.SSLContext) -> AsyncIterator[int]:
    """A real SMTP server that offers STARTTLS."""
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Sink(), hostname="mail.shop.example", ident="ESMTP aiosmtpd", tls_context=context), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
