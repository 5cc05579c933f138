"""Who asks and does not take the answer, or asks and stays: they hold no place and no memory that others need."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import trustme
from aiohttp import web
from prometheus_client import CollectorRegistry

from deploywatch.demo.free_ports import free_port
from deploywatch.web.connections import Connections, Site

BIG = 4 * 1024**2
"""Bytes of an answer that no buffer of the kernel's takes whole."""


class Served:
    """A server with few places, and those who crowd it."""

    def __init__(self, port: int, registry: CollectorRegistry, connections: Connections) -> None:
        self.port = port
        self.connections = connections
        self._registry = registry
        self._crowd: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def closed(self, reason: str) -> float:
        return self._registry.get_sample_value("deploywatch_http_connections_closed_total", {"reason": reason}) or 0

    async def come(self, path: str, context: ssl.SSLContext | None = None) -> asyncio.StreamReader:
        """Ask on a connection of one's own, and take no more than what comes first."""
        taker = socket.socket()
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        taker.setblocking(False)
        await asyncio.get_running_loop().sock_connect(taker, ("127.0.0.1", self.port))
        # Little more than the head: what the loop reads by itself would be taken.
        name = None if context is None else "localhost"
        reader, writer = await asyncio.open_connection(sock=taker, limit=1024, ssl=context, server_hostname=name)
        self._crowd.append((reader, writer))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with suppress(asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
        return reader

    async def ask(self, context: ssl.SSLContext | None = None) -> int:
        scheme = "http" if context is None else "https"
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{scheme}://localhost:{self.port}/", ssl=context or False) as answer,
        ):
            return answer.status

    async def leave(self) -> None:
        for _, writer in self._crowd:
            writer.transport.abort()


@asynccontextmanager
async def _serving(limit: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    async def small(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async def big(_: web.Request) -> web.Response:
        return web.Response(body=bytes(BIG))

    registry, port = CollectorRegistry(), free_port()
    places = Connections(registry, limit=limit)
    app = web.Application(middlewares=[places.middleware(lambda _: False)])
    app.router.add_get("/", small)
    app.router.add_get("/big", big)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await Site(runner, places, "127.0.0.1", port, context).start()
    served = Served(port, registry, places)
    try:
        async with asyncio.timeout(120):
            yield served
    finally:
        await served.leave()
        await runner.cleanup()


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0.02)


@pytest.fixture
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's context, and one that trusts it."""
    authority = trustme.CA()
    ours, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(ours)
    authority.configure_trust(trusting)
    return ours, trusting


@pytest.mark.parametrize("over_tls", [False, True])
async def test_answers_that_nobody_takes_keep_nobody_from_being_answered(
    over_tls: bool, tls: tuple[ssl.SSLContext, ...]
) -> None:
    ours, trusting = tls if over_tls else (None, None)
    async with _serving(8, ours) as served:
        for _ in range(20):
            await served.come("/big", trusting)
        assert await served.ask(trusting) == 200
        assert (served.closed("unread") > 10, served.closed("full")) == (True, 0)


async def test_connections_that_stay_after_their_answer_make_room() -> None:
    async with _serving(8) as served:
        for _ in range(20):
            await served.come("/")
        assert await served.ask() == 200
        assert (served.closed("idle") > 10, served.closed("full")) == (True, 0)


async def test_who_takes_nothing_is_left_and_who_takes_slowly_is_not() -> None:
    async with _serving(8) as served:
        await served.come("/big")
        places = served.connections
        await _until(lambda: bool(places._unread))
        (waiting,) = places._unread
        places._look(waiting, waiting.left + 60 * 1024)  # as much was taken since the look before
        assert (list(places._unread), served.closed("slow")) == ([waiting], 0)
        places._look(waiting, waiting.left + 60 * 1024 - 1)
        await _until(lambda: not places._unread)
        assert served.closed("slow") == 1


@pytest.mark.parametrize("over_tls", [False, True])
async def test_answers_that_wait_are_bounded_all_together(over_tls: bool, tls: tuple[ssl.SSLContext, ...]) -> None:
    ours, trusting = tls if over_tls else (None, None)
    async with _serving(100, ours) as served:
        served.connections.unread_bytes = 3 * BIG
        for _ in range(20):
            await served.come("/big", trusting)
        assert served.closed("slow") > 5
        assert await served.ask(trusting) == 200
        assert sum(waiting.left for waiting in served.connections._unread) <= 3 * BIG
