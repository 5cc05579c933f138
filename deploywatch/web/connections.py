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
# What the kernel holds for a slow line counts as not taken until it has sent a third of it.
UNREAD_SECONDS = 60.0
"""How often whoever does not take an answer must have taken some of it: 1 kB for each second."""
UNREAD_BYTES = 64 * 1024**2
"""Bytes of answers that wait to be taken, over all connections; one answer alone may be larger."""
MOST = 1000
"""Connections that are open at the same time, where the process may have so many descriptors."""

# Descriptors that callers never get: the store, probes, logs and the config need them to keep working.
_RESERVED = 96
_AT_ONCE = 8  # accepted in one turn of the loop, beyond the limit
_BACKLOG = 1024
_TAKEN_BYTES = int(UNREAD_SECONDS * 1024)
_FEW_BYTES = 64 * 1024  # asyncio's own bound, above which a protocol is told to wait


def limit_of(descriptors: int) -> int:
    """How many connections fit beside the descriptors that our own work needs; a quarter where there are few."""
    return min(MOST, max(descriptors - _RESERVED - _AT_ONCE, descriptors // 4, 1))


def descriptor_limit() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST * 10 if soft == resource.RLIM_INFINITY else soft


class Connections:
    """Which connections were served already; a new one takes the place of the oldest that needs none.

    Those go first that were never served, then those whose answer waits to be taken, then those that wait for nothing,
    then those whose body has not all arrived.
    """

    def __init__(self, registry: CollectorRegistry, *, limit: int | None = None) -> None:
        self.limit = limit or limit_of(descriptor_limit())
        self.unread_bytes = UNREAD_BYTES
        self._served: set[web.RequestHandler] = set()
        self._shaking: dict[_Secured, asyncio.Transport] = {}
        self._unread: dict[_Connection, asyncio.TimerHandle] = {}
        self._closed = Counter(
            "deploywatch_http_connections_closed",
            "Connections that were closed, by reason: silent, unread, idle or sending ones to make room, new ones "
            "without room (full), and those that did not take their answer (slow).",
            ["reason"],
            registry=registry,
        )
        for reason in ("silent", "unread", "idle", "sending", "full", "slow"):
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
        """The protocol of a new connection; when there are too many, one that needs none makes room, or this one goes.

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
        connection = _Connection(server, self)
        return connection if context is None else _Secured(connection, context, self._shaking, self)

    def waits(self, connection: _Connection, left: int) -> None:
        """Note that an answer waits to be taken, of which so many bytes are left; too many together, and the oldest go.

        An answer stands in memory until its last byte is taken, and whoever asks and never reads is no work for them.
        """
        if connection in self._unread:
            return
        look = asyncio.get_running_loop().call_later(UNREAD_SECONDS, self._look, connection, left)
        self._unread[connection] = look
        held = {waiting: waiting.left for waiting in self._unread}
        for oldest in list(held)[:-1]:
            if sum(held.values()) <= self.unread_bytes:
                return
            del held[oldest]
            self._close(oldest, "slow")

    def waits_no_longer(self, connection: _Connection) -> None:
        """Note that most of the answer was taken, or that nobody is there to take it."""
        # Of TLS the encrypted part waits elsewhere, and its bounds are told by themselves.
        if connection.left <= _FEW_BYTES and (look := self._unread.pop(connection, None)):
            look.cancel()

    def _look(self, connection: _Connection, before: int) -> None:
        self._unread.pop(connection, None)
        if before - connection.left < _TAKEN_BYTES:
            self._close(connection, "slow")
        else:
            self.waits(connection, connection.left)

    def _make_room(self, connections: list[web.RequestHandler]) -> bool:
        """Whether a connection that needs none was there to be closed: the oldest of its kind."""
        for secured, transport in self._shaking.items():
            del self._shaking[secured]
            transport.abort()
            self._closed.labels("silent").inc()
            return True
        kinds: tuple[tuple[str, Callable[[web.RequestHandler], bool]], ...] = (
            ("silent", lambda connection: connection not in self._served),
            ("unread", lambda connection: connection in self._unread),
            # Its owner sees the end of a connection that was kept alive, and opens another.
            ("idle", lambda connection: connection._current_request is None),
            # Last, as most of these have something to say; but a body that drips must not hold a place for a minute.
            ("sending", _is_sending),
        )
        for reason, is_one in kinds:
            for connection in connections:
                if is_one(connection) and self._close(connection, reason):
                    return True
        return False

    def _close(self, connection: web.RequestHandler, reason: str) -> bool:
        """End it at once; False for one that is ending already, which makes room only once."""
        if connection.transport is None or connection.transport.is_closing():
            return False
        connection.transport.abort()
        self._closed.labels(reason).inc()
        return True


def _is_sending(connection: web.RequestHandler) -> bool:
    """Whether the body of its request has not all arrived."""
    request = connection._current_request
    return request is not None and not request.content.is_eof()


class _Connection(web.RequestHandler):
    """A connection as aiohttp serves it, which says when its answer waits to be taken."""

    __slots__ = ("_connections", "below")

    def __init__(self, server: web.Server, connections: Connections) -> None:
        # As Server.__call__ makes its own.
        super().__init__(server, loop=asyncio.get_running_loop(), **server._kwargs)
        self._connections = connections
        self.below: asyncio.Transport | None = None

    @property
    def left(self) -> int:
        """Bytes of the answer that nobody has taken yet, encrypted or not."""
        return sum(part.get_write_buffer_size() for part in (self.transport, self.below) if part is not None)

    def pause_writing(self) -> None:
        """The peer takes less than we have."""
        super().pause_writing()
        self._connections.waits(self, self.left)

    def resume_writing(self) -> None:
        """The peer has taken most of it."""
        super().resume_writing()
        self._connections.waits_no_longer(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count no longer."""
        super().connection_lost(exc)
        self.below = None
        self._connections.waits_no_longer(self)


class _Secured(SSLProtocol):
    """TLS as asyncio speaks it, which counts from the connection's first moment, not from the handshake's end."""

    def __init__(
        self,
        inner: _Connection,
        context: ssl.SSLContext,
        shaking: dict[_Secured, asyncio.Transport],
        connections: Connections,
    ) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        # A handshake that fails is closed by itself; nobody waits for it.
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
        super().__init__(loop, inner, context, waiter, server_side=True, ssl_handshake_timeout=int(HEAD_SECONDS))
        self._inner = inner
        self._shaking = shaking
        self._connections = connections

    @property
    def is_done(self) -> bool:
        """Whether requests can come."""
        return self._inner.transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        if isinstance(transport, asyncio.Transport):
            self._shaking[self] = transport
            self._inner.below = transport
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """The peer takes less than is encrypted."""
        super().pause_writing()
        self._connections.waits(self._inner, self._inner.left)

    def resume_writing(self) -> None:
        """The peer has taken most of it; what was not encrypted yet follows."""
        self._connections.waits_no_longer(self._inner)
        super().resume_writing()

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
