"""Every kind of probe against every kind of bad server: it ends in time, and with a bounded reason that is not ours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploywatch.exporter.probes import KINDS
from deploywatch.exporter.results import Reason
from tests.exporter.support import Talk, Tcp, probe, silent
from tests.support.examples import examples

TARGETS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "http": lambda place: {"url": f"http://{place}/", "expect": {"format": "json"}},
    "tcp": lambda place: {"address": place, "query_response": [{"expect": "^never$"}]},
    "tls": lambda place: {"address": place},
    "postgres": lambda place: {"dsn": f"postgresql://ann:x@{place}/shop"},
    "redis": lambda place: {"url": f"redis://{place}/0"},
    "flow": lambda place: {"steps": [{"name": "a", "url": f"http://{place}/", "save": {"v": {"json": "v"}}}]},
    "port": lambda place: {"registry": {"a": {"address": place, "http": {"body": "^never$"}}}},
    "dns": lambda place: {"address": place, "query_name": "shop.example", "transport_protocol": "tcp"},
    "grpc": lambda place: {"address": place},
}
BY_ITSELF = {"icmp", "unix"}
"""What is not reached over TCP: of the one every reply is tried in its own test, the other follows below."""


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send 100 MB, if they are taken."""
    for _ in range(1000):
        writer.write(b"\x00flood\n" * 14_000)
        await writer.drain()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a little, and a little."""
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Break off at the first word."""
    await reader.read(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing and leave."""


def test_every_kind_is_tried() -> None:
    assert TARGETS.keys() | BY_ITSELF == KINDS.keys()


@pytest.mark.parametrize("talk", [silent, flood, trickle, hang_up], ids=lambda talk: talk.__name__)
async def test_a_bad_server_on_a_socket_is_a_bounded_reason_in_time(talk: Talk, tmp_path: Path) -> None:
    server = Tcp(talk)
    await server.start_at(str(tmp_path / "socket"))
    result = await probe(0.3, kind="unix", path=str(tmp_path / "socket"), query_response=[{"expect": "^never$"}])
    await server.stop()
    assert result.reason not in {None, Reason.INTERNAL}, result.detail


@pytest.mark.parametrize("talk", [silent, flood, trickle, reset, hang_up], ids=lambda talk: talk.__name__)
@pytest.mark.parametrize("kind", TARGETS)
async def test_a_bad_server_is_a_bounded_reason_in_time(
    kind: str, talk: Talk, tcp: Callable[[Talk], Awaitable[int]]
) -> None:
    result = await probe(0.3, kind=kind, **TARGETS[kind](f"127.0.0.1:{await tcp(talk)}"))
    assert result.reason not in {None, Reason.INTERNAL}, result.detail
    assert result.duration < 60
    assert result.detail


@pytest.mark.parametrize("kind", TARGETS)
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.binary(max_size=200), limit=st.floats(0.02, 0.1))
def test_whatever_a_server_says_the_deadline_holds(kind: str, said: bytes, limit: float) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        await silent(reader, writer)

    async def run() -> None:
        async with Tcp(talk) as port:
            result = await probe(limit, kind=kind, **TARGETS[kind](f"127.0.0.1:{port}"))
        assert result.reason is not Reason.INTERNAL, result.detail
        assert result.duration < limit + 60

    asyncio.run(run())
