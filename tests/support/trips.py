"""Counts the trips to PostgreSQL: a proxy before it, which reads what the client sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_SYNC, _QUERY = b"S", b"Q"
_SSL = (80877103).to_bytes(4)
"""Asks whether the server speaks TLS; whichever way it answers, the first message comes after it."""


@dataclass(slots=True)
class Trips:
    """How often a client waited for the server: a Sync ends each trip of the extended protocol, a Query is a whole one.

    https://www.postgresql.org/docs/current/protocol-flow.html
    """

    kinds: Counter[bytes] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Trips by now."""
        return self.kinds[_SYNC] + self.kinds[_QUERY]


@contextlib.asynccontextmanager
async def counted(host: str, port: int) -> AsyncIterator[tuple[int, Trips]]:
    """A proxy on a port of its own, and the trips that went through it."""
    trips, tasks = Trips(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(host, port)
        for flow in (_asked(reader, server_writer, trips), _answered(server_reader, writer)):
            task = asyncio.create_task(flow)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], trips
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trips: Trips) -> None:
    """Pass the client's messages on: the first has no type, each other has one byte of it, then its length."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        kind = b""
        while True:
            size = await reader.readexactly(4)
            body = await reader.readexactly(int.from_bytes(size) - 4)
            writer.write(kind + size + body)
            await writer.drain()
            trips.kinds[kind] += 1
            kind = b"" if body == _SSL else await reader.readexactly(1)
    writer.close()


async def _answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
