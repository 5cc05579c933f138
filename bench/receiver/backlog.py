"""A backlog: ten thousand messages that waited for their channels, all due at once, and then a critical alert."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from sqlalchemy import Connection, and_, func, select, update

from bench.receiver.load import Load, ask, request, webhook
from bench.receiver.servers import Place, Plan, get, peak_megabytes, post
from deploywatch.demo.servers import Running
from deploywatch.receiver.notify.queueing import KIND
from deploywatch.receiver.store import Store
from deploywatch.receiver.store.schema import jobs

JOBS, CHANNELS = 10_000, 5
RATE_GOAL, FIRST_GOAL, MEMORY_GOAL = 200.0, 2.0, 400.0


@dataclass(frozen=True, slots=True)
class Drained:
    """How many messages were due, seconds until all were told, and until each critical alert was first told of."""

    jobs: int
    seconds: float
    first: list[float]
    megabytes: float
    messages: int
    """That arrived, those of the critical alerts too."""


def backlog(console: Console, place: Place, _: Running, plan: Plan) -> None:
    """(e) After a time without its channels: does a critical alert wait behind what has gathered, and how long?"""
    for store in plan.stores:
        name = f"backlog-{store.lower()}"
        database = place.database(name) if store == "SQLite" else place.postgres(name)
        drained = asyncio.run(drain(place, name, database, JOBS // CHANNELS))
        console.print(
            f"{store}: {drained.jobs:,} messages due at once were told in {drained.seconds:.1f} s, "
            f"{drained.jobs / drained.seconds:.0f} a second (goal: at least {RATE_GOAL:g}); critical alerts meanwhile: "
            f"first message after {', '.join(f'{seconds:.2f}' for seconds in drained.first)} s (goal: {FIRST_GOAL:g}), "
            f"{drained.megabytes:.0f} MB at most (goal: {MEMORY_GOAL:g}); {drained.messages:,} messages arrived"
        )


async def drain(place: Place, name: str, database: str, incidents: int) -> Drained:
    """Let messages gather while nobody listens, have them all be due, and watch a new receiver tell them."""
    port = place.processes.free_port()
    channel = {"kind": "webhook", "url": f"http://127.0.0.1:{port}/webhook", "secret": "of-no-importance-here"}
    settings = {"database": database, "channels": {f"team-{number}": channel for number in range(CHANNELS)}}
    first = await asyncio.to_thread(place.receiver_with, f"{name}-away", settings)
    load = Load(first.port, 1, True, 300.0, 16, services=incidents, most=incidents)
    seen = await asyncio.to_thread(post, load)
    assert seen.good == incidents, seen.refusal
    await asyncio.to_thread(first.child.stop, 60)
    waiting = await _all_due(database)
    listener = Listener()
    listening = await asyncio.start_server(listener.answer, "127.0.0.1", port)
    server = await asyncio.to_thread(place.receiver_with, f"{name}-back", settings)
    begun = time.perf_counter()
    # One at once, and others while it drains.
    critical = [await _critical(server, listener, number) for number in range(3)]
    while await asyncio.to_thread(_waiting, server):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.3)  # asking costs the receiver something too
    drained = Drained(waiting, time.perf_counter() - begun, critical, peak_megabytes(server), listener.messages)
    await asyncio.to_thread(server.child.stop)
    listening.close()
    return drained


class Listener:
    """The channels' other side: answers every message with 200, and notes when a service was first told of."""

    def __init__(self) -> None:
        self._told: dict[bytes, asyncio.Event] = {}
        self.messages = 0

    def expect(self, service: bytes) -> asyncio.Event:
        """Is set once a message names this service."""
        return self._told.setdefault(service, asyncio.Event())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(size[1]) if size else 0)
                self.messages += 1
                for service, arrived in self._told.items():
                    if service in body:
                        arrived.set()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()


async def _critical(server: Running, listener: Listener, number: int) -> float:
    """Seconds from the moment at which a critical alert is posted until a channel has heard of it."""
    service = f"critical-{number}".encode()
    body = webhook(0, 1).replace(b"high", b"critical").replace(b"service-0000", service)
    arrived, begun = listener.expect(service), time.perf_counter()
    await _post(server.port, body.replace(b"~" * 12, b"c%011x" % number))
    await asyncio.wait_for(arrived.wait(), 60)
    return time.perf_counter() - begun


async def _post(port: int, body: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    status, text = await ask(reader, writer, request(body))
    writer.close()
    await writer.wait_closed()
    assert status == 200, f"{status}: {text}"


def _waiting(server: Running) -> float:
    """Messages that the channels have not taken, as the receiver says."""
    lines = get(server, "/metrics").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("deploywatch_deliveries_waiting{"))


async def _all_due(database: str) -> int:
    """Have everything that waits be due now, as after a long time; how much that is."""

    def hurry(connection: Connection) -> int:
        waiting = and_(jobs.c.state == "ready", jobs.c.kind == KIND)
        connection.execute(update(jobs).where(waiting).values(run_at=datetime.now(UTC)))
        return int(connection.execute(select(func.count()).where(waiting)).scalar_one())

    store = Store(database)
    count = await store.write(hurry)
    await store.close()
    return count
