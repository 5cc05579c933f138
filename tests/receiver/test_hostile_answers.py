"""What whoever we ask may answer: bombs, floods, drips. Each ends in time, in a few words, and fills no memory."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import brotli
import pytest

from deploywatch.access import signing_keys
from deploywatch.receiver import client
from deploywatch.receiver.actions.rollback import verify
from deploywatch.receiver.executors import http as executor
from deploywatch.receiver.upstream import alertmanager
from tests.receiver.ways_out import WAYS
from tests.support.pace import pace

MB = 1024**2
SECONDS = 1.0
Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


def _gzip_bomb(size: int, width: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, width)
    return b"".join([*(packer.compress(bytes(16 * MB)) for _ in range(size // (16 * MB))), packer.flush()])


def _head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Type: application/json", *lines, b"", b""])


def _once(answer: bytes) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return write


def _packed(coding: bytes, body: bytes) -> Write:
    return _once(_head(b"Content-Encoding: " + coding, b"Content-Length: %d" % len(body), b"Connection: close") + body)


def _said(body: bytes) -> Write:
    return _once(_head(b"Content-Length: %d" % len(body), b"Connection: close") + body)


def _for_ever(first: bytes, piece: bytes, seconds: float) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(seconds)

    return write


ATTACKS: dict[str, Callable[[], Write]] = {
    "gzip bomb": lambda: _packed(b"gzip", _gzip_bomb(256 * MB, 31)),
    "deflate bomb": lambda: _packed(b"deflate", _gzip_bomb(256 * MB, 15)),
    "brotli bomb": lambda: _packed(b"br", brotli.compress(bytes(256 * MB), quality=1)),
    "body without an end": lambda: _for_ever(_head(), b" " * 64 * 1024, 0),
    "deep lists": lambda: _said(b"[" * 200_000),
    "deep objects": lambda: _said(b'{"ok":' * 100_000),
    "a number of a million digits": lambda: _said(b'{"ok":' + b"9" * 1_000_000 + b"}"),
    "heads without an end": lambda: _for_ever(b"HTTP/1.1 200 OK\r\n", b"X-Flood: " + b"x" * 8000 + b"\r\n", 0),
    "one header without an end": lambda: _for_ever(b"HTTP/1.1 200 OK\r\nX-Flood: ", b"x" * 64 * 1024, 0),
    "a dripping head": lambda: _for_ever(b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x", 0.05),
    "a dripping body": lambda: _for_ever(_head(), b" ", 0.05),
    "continue, for ever": lambda: _for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0.001),
}


@pytest.fixture(params=ATTACKS)
async def attacker(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a server that answers so, whatever it is asked."""
    write = ATTACKS[request.param]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await write(writer)
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that are no settings, small enough to be met in a test; as settings are, in `WAYS`."""
    monkeypatch.setattr(verify, "_ANSWER_SECONDS", SECONDS)
    monkeypatch.setattr(executor, "_ANSWER_SECONDS", SECONDS)
    monkeypatch.setattr(client, "_SECONDS", SECONDS)
    monkeypatch.setattr(signing_keys, "_TIMEOUT", aiohttp.ClientTimeout(total=SECONDS))
    monkeypatch.setattr(alertmanager._get, "__kwdefaults__", {"seconds": SECONDS})
    for module in (alertmanager, client):
        monkeypatch.setattr(module, "_ANSWER_LIMIT", MB)


async def _longest_frozen(over: asyncio.Event) -> float:
    """The most seconds of work between two looks, while nothing else was done; not of the clock, which others stop."""
    longest, last = 0.0, time.process_time()
    while not over.is_set():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    return longest


@pytest.mark.usefixtures("hasty")
async def test_whatever_is_answered_each_way_out_ends_in_a_few_words_and_little_memory(attacker: str) -> None:
    over = asyncio.Event()
    looking = asyncio.create_task(_longest_frozen(over))
    tracemalloc.start()
    try:
        told = await asyncio.wait_for(asyncio.gather(*(ask(attacker, SECONDS) for ask in WAYS.values())), 250)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        over.set()
    assert await looking < 5 * pace()
    assert peak < 192 * MB  # all of them together, where one bomb is 256
    assert all(len(text) < 1000 for text in told), max(told, key=len)
