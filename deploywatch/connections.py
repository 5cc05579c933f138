"""Connections of strangers: bounded in number and in time, so that those who have something to say are answered."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter

HEAD_SECONDS = 10.0
"""How long a connection may be open without a whole head of a request."""
IDLE_SECONDS = 75.0
"""How long a connection that has been served may wait for its next request."""
MOST = 1000
"""Connections that are open at the same time, where the process may have so many descriptors."""

_RESERVED = 96
_AT_ONCE = 8  # accepted in one turn of the loop, beyond the limit
_BACKLOG = 1024


def limit_of(descriptors: int) -> int:
    """How many connections fit beside the descriptors that our own work needs; a quarter where there are few."""
    return min(MOST, max(descriptors - _RESERVED - _AT_ONCE, descriptors // 4, 1))


def descriptor_limit() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST * 10 if soft == resource.RLIM_INFINITY else soft


class Connections:
    """Which connections were served already; a new one takes the place of the oldest that was not."""

    def __init__(self, registry: CollectorRegistry, *, limit: int | None = None) -> None:
        self.limit = limit or limit_of(descriptor_limit())
        self._served: set[web.RequestHandler] = set()
        self._closed = Counter(
            "deploywatch_http_connections_closed",
            "Connections that were closed because there were too many, by reason: silent ones, or new ones.",
            ["reason"],
            registry=registry,
        )
        for reason in ("silent", "full"):
            self._closed.labels(reason)

    def middleware(self, is_stranger: Callable[[web.Request], bool]) -> Middleware:
        """To stand within what asks for credentials: who comes this far, and is no stranger, keeps the place."""

        @web.middleware
        async def served(request: web.Request, handler: Handler) -> web.StreamResponse:
            protocol = request.protocol
            if protocol not in self._served and not is_stranger(request):
                self._served.add(protocol)
                protocol._keepalive_timeout = IDLE_SECONDS  # aiohttp has one figure for the first head and the next
            return await handler(request)

        return served

    def made(self, server: web.Server) -> asyncio.Protocol:
        """The protocol of a new connection; when there are too many, a silent one makes room, or this one goes."""
        connections = server.connections
        if len(self._served) > len(connections):
            self._served.intersection_update(connections)
        if len(connections) < self.limit:
            return server()
        for connection in connections:
            if connection not in self._served and connection.transport is not None:
                self._served.add(connection)  # it is closing, and makes room only once
                connection.transport.abort()
                self._closed.labels("silent").inc()
                return server()
        self._closed.labels("full").inc()
        return _Closed()


class _Closed(asyncio.Protocol):
    """A connection that there is no room for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Site(web.BaseSite):
    """Listens on TCP, taking in a few connections a turn, so that what is open stays below the limit."""

    def __init__(
        self,
        runner: web.AppRunner,
        connections: Connections,
        host: str | None,
        port: int,
        context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(runner, ssl_context=context)
        self._connections = connections
        self._host = host
        self._port = port

    @property
    def name(self) -> str:
        """Where it listens."""
        return f"{self._host or '*'}:{self._port}"

    async def start(self) -> None:
        """Listen; OSError when the address is taken."""
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._connections.made(server),
            self._host,
            self._port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=HEAD_SECONDS if self._ssl_context else None,
            backlog=_AT_ONCE,
        )
        for listening in self._server.sockets:
            # The kernel holds more than are taken in at once.
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as twin:
                twin.listen(_BACKLOG)
