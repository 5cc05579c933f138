"""Connections of strangers: bounded in number and in time, so that those who have something to say are answered."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from asyncio.sslproto import SSLProtocol
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

# Descriptors that callers never get: the store, probes, logs and the config need them to keep working.
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
        self._shaking: dict[_Secured, asyncio.Transport] = {}
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

    def made(self, server: web.Server, context: ssl.SSLContext | None = None) -> asyncio.BaseProtocol:
        """The protocol of a new connection; when there are too many, a silent one makes room, or this one goes.

        A handshake that is not over counts as a connection, and is as silent as one.
        """
        connections = server.connections
        if len(self._served) > len(connections):
            self._served.intersection_update(connections)
        for secured in [secured for secured in self._shaking if secured.is_done]:
            del self._shaking[secured]
        if len(connections) + len(self._shaking) >= self.limit and not self._make_room(connections):
            self._closed.labels("full").inc()
            return _Closed()
        return server() if context is None else _Secured(server(), context, self._shaking)

    def _make_room(self, connections: list[web.RequestHandler]) -> bool:
        """Whether a connection without a whole head, or a whole handshake, was there to be closed: the oldest."""
        for secured, transport in self._shaking.items():
            del self._shaking[secured]
            transport.abort()
            self._closed.labels("silent").inc()
            return True
        for connection in connections:
            if connection not in self._served and connection.transport is not None:
                self._served.add(connection)  # it is closing, and makes room only once
                connection.transport.abort()
                self._closed.labels("silent").inc()
                return True
        return False


class _Secured(SSLProtocol):
    """TLS as asyncio speaks it, which counts from the connection's first moment, not from the handshake's end."""

    def __init__(
        self, inner: web.RequestHandler, context: ssl.SSLContext, shaking: dict[_Secured, asyncio.Transport]
    ) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        # A handshake that fails is closed by itself; nobody waits for it.
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
        super().__init__(loop, inner, context, waiter, server_side=True, ssl_handshake_timeout=int(HEAD_SECONDS))
        self._inner = inner
        self._shaking = shaking

    @property
    def is_done(self) -> bool:
        """Whether requests can come."""
        return self._inner.transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        if isinstance(transport, asyncio.Transport):
            self._shaking[self] = transport
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count no longer."""
        self._shaking.pop(self, None)
        super().connection_lost(exc)


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
            lambda: self._connections.made(server, self._ssl_context),
            self._host,
            self._port,
            backlog=_AT_ONCE,
        )
        for listening in self._server.sockets:
            # The kernel holds more than are taken in at once.
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as twin:
                twin.listen(_BACKLOG)
