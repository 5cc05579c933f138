"""What servers say when they turn us away: in their own words, with the reason that leads to the right place."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from deploywatch.demo.servers import Running
from deploywatch.exporter.results import Reason
from tests.exporter.certs import Certs
from tests.exporter.support import Talk, probe, scripted, upgrading

Start = Callable[[Talk], Awaitable[int]]


@pytest.mark.parametrize("kind", ["tls", "tcp"])
@pytest.mark.parametrize(
    ("protocol", "turns", "words"),
    [
        ("smtp", ["220 mail", "421 4.3.2 closing"], "421 4.3.2 closing"),
        ("smtp", ["220 mail", "250-mail\r\n250 STARTTLS", "454 4.7.0 TLS not now"], "454 4.7.0 TLS not now"),
        ("ftp", ["220 ready", "431 no security now"], "431 no security now"),
        ("imap", ["* OK ready", "* BYE shutting down"], "* BYE shutting down"),
        ("imap", ["* Bye too many"], "* Bye too many"),
        ("pop3", ["+OK ready", "-ERR [SYS/TEMP] later"], "-ERR [SYS/TEMP] later"),
    ],
)
async def test_a_server_that_turns_us_away_later_than_in_its_greeting_is_unavailable_too(
    tcp: Start, kind: str, protocol: str, turns: list[str], words: str
) -> None:
    talk = scripted(*(f"{turn}\r\n".encode() for turn in turns))
    result = await probe(kind=kind, address=f"127.0.0.1:{await tcp(talk)}", starttls=protocol)
    assert (result.reason, result.detail) == (Reason.UNAVAILABLE, f"the server takes no connection now: {words}")


@pytest.mark.parametrize(
    ("protocol", "turns"),
    [
        ("ftp", ["120 ready in 1 minute\r\n220 ready", "234 begin"]),
        ("ftp", ["220-Welcome\r\n220x is no end\r\n text\r\n220", "234 begin"]),
        ("imap", ["* Ok ready", "* CAPABILITY IMAP4rev1\r\na1 ok begin"]),
    ],
)
async def test_tls_begins_with_servers_that_say_it_in_their_own_way(
    tcp: Start, certs: Certs, protocol: str, turns: list[str]
) -> None:
    talk = scripted(*(f"{turn}\r\n".encode() for turn in turns), then=upgrading(certs.server()))
    address = f"127.0.0.1:{await tcp(talk)}"
    result = await probe(kind="tls", address=address, starttls=protocol, tls={"ca_file": certs.ca_file})
    assert result.success, result.detail


def refusing(code: str, message: str) -> Talk:
    """A PostgreSQL, or a pooler, that refuses whoever comes so."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!i", await reader.readexactly(4))
        await reader.readexactly(size - 4)
        fields = b"".join(f"{key}{value}\0".encode() for key, value in (("S", "FATAL"), ("C", code), ("M", message)))
        writer.write(b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0")
        await writer.drain()

    return talk


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("XX000", "Tenant or user not found", Reason.AUTH),  # Supavisor
        ("XX000", "MaxClientsInSessionMode: max clients reached", Reason.UNAVAILABLE),
        ("XX000", "all backend nodes are down, pgpool requires at least one valid node", Reason.UNAVAILABLE),
        ("XX000", "the endpoint has been disabled", Reason.UNAVAILABLE),  # Neon
        ("XX000", "something else", Reason.QUERY),
        ("57P03", "the database system is starting up", Reason.UNAVAILABLE),
        ("53300", "too many connections for role", Reason.UNAVAILABLE),
        ("28000", "no pg_hba.conf entry for host", Reason.AUTH),
    ],
)
async def test_a_refusal_of_postgresql_or_a_pooler_has_its_reason(
    tcp: Start, code: str, message: str, reason: Reason
) -> None:
    dsn = f"postgresql://probe@127.0.0.1:{await tcp(refusing(code, message))}/shop?sslmode=disable"
    result = await probe(kind="postgres", dsn=dsn)
    assert (result.reason, message in result.detail) == (reason, True), result.detail


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
async def test_a_server_that_hangs_up_when_it_is_spoken_to_has_lost_the_connection(tcp: Start, mode: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.close()

    result = await probe(kind="postgres", dsn=f"postgresql://probe@127.0.0.1:{await tcp(talk)}/shop?sslmode={mode}")
    assert (result.reason, "the connection was lost" in result.detail) == (Reason.RESET, True), result.detail


async def test_a_database_that_may_not_be_connected_to_says_why(postgres_server: Running) -> None:
    admin = await asyncpg.connect(postgres_server.url)
    elsewhere = postgres_server.url.rpartition("/")[0]
    try:
        await admin.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
        await admin.execute("CREATE DATABASE private")
        await admin.execute("REVOKE CONNECT ON DATABASE private FROM PUBLIC")
        await admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        closed = await probe(kind="postgres", dsn=f"{elsewhere}/closed")
        place = elsewhere.rpartition("@")[2]
        denied = await probe(kind="postgres", dsn=f"postgresql://stranger:stranger@{place}/private")
    finally:
        for name in ("closed", "private"):
            await admin.execute(f"DROP DATABASE IF EXISTS {name}")
        await admin.execute("DROP ROLE IF EXISTS stranger")
        await admin.close()
    assert (closed.reason, "not currently accepting connections" in closed.detail) == (Reason.UNAVAILABLE, True)
    assert (denied.reason, "permission denied for database" in denied.detail) == (Reason.AUTH, True), denied.detail


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-LOADING Redis is loading the dataset in memory", Reason.UNAVAILABLE),
        ("-MASTERDOWN Link with MASTER is down", Reason.UNAVAILABLE),
        ("-BUSY Redis is busy running a script", Reason.UNAVAILABLE),
        ("-MISCONF Errors writing to the AOF file", Reason.UNAVAILABLE),
        ("-TRYAGAIN Multiple keys request during rehashing of slot", Reason.UNAVAILABLE),
        ("-no upstream host", Reason.UNAVAILABLE),  # Envoy
        ("-ERR Connection refused", Reason.UNAVAILABLE),  # twemproxy
        ("-NOPERM this user has no permissions to run the 'set' command", Reason.AUTH),
    ],
)
async def test_a_refusal_of_redis_or_a_proxy_has_its_reason(tcp: Start, line: str, reason: Reason) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            for word in data.split(b"\r\n"):
                if word in {b"CLIENT", b"SELECT", b"PING"}:
                    writer.write(b"+PONG\r\n" if word == b"PING" else b"+OK\r\n")
                elif word in {b"SET", b"GET"}:
                    writer.write(line.encode() + b"\r\n")

    result = await probe(kind="redis", url=f"redis://127.0.0.1:{await tcp(talk)}/0")
    assert result.reason is reason, result.detail
