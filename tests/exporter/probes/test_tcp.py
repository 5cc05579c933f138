"""The `tcp` probe against servers that talk, hang, trickle and flood."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploywatch.exporter.net.pattern import Found
from deploywatch.exporter.probes.tcp import expand
from deploywatch.exporter.results import Reason, Result
from tests.exporter.certs import Certs
from tests.exporter.support import Talk, Tcp, cut, eventually, mail, measured, probe, scripted, silent

Start = Callable[[Talk], Awaitable[int]]


async def talked(tcp: Start, talk: Talk, *turns: dict[str, Any], limit: float = 60) -> Result:
    """Run the probe with this dialogue."""
    return await probe(limit, kind="tcp", address=f"127.0.0.1:{await tcp(talk)}", query_response=list(turns))


async def test_a_server_that_listens_is_a_success_with_its_phases(tcp: Start) -> None:
    result = await talked(tcp, silent)
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_tcp_duration_seconds{phase=connect}"] > 0
    assert values["probe_failed_due_to_regex"] == 0
    assert values["probe_dns_lookup_time_seconds"] >= 0
    assert values["probe_ip_protocol"] == 4


async def test_a_server_that_does_not_listen_is_the_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = await probe(kind="tcp", address=f"127.0.0.1:{unused.getsockname()[1]}")
    assert result.reason is Reason.CONNECT_REFUSED


async def test_a_dialogue_is_held_and_what_is_captured_is_sent_back_and_shown(tcp: Start) -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n220 mail.shop.example ESMTP Postfix\r\n")
        heard.append(await reader.readline())
        writer.write(b"bye\n")
        await silent(reader, writer)

    result = await talked(
        tcp,
        talk,
        {
            "expect": "^220 ([^ ]+) ESMTP (?P<software>\\w+)",
            "labels": {"software": "$software", "host": "${1}"},
            "send": "EHLO $1 costs 1 $$\r",
        },
        {"expect": "bye"},
    )
    assert result.success, result.detail
    assert heard == [b"EHLO mail.shop.example costs 1 $\r\n"]
    assert measured(result)["probe_expect_info{software=Postfix,host=mail.shop.example}"] == 1


async def test_a_line_that_never_comes_is_the_reason(tcp: Start) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\nlast line")
        await writer.drain()

    result = await talked(tcp, talk, {"expect": "^220"})
    assert result.reason is Reason.BODY
    assert result.detail.endswith("no line had matched '^220'; the last was 'last line'")
    assert measured(result)["probe_failed_due_to_regex"] == 1
    assert (await talked(tcp, talk, {"expect": "^last line$"})).success


async def test_tls_begins_on_a_real_mail_server_in_the_dialogue(certs: Certs) -> None:
    turns = [
        {"expect": "^220 ", "send": "EHLO probe\r"},
        {"expect": "^250[- ]STARTTLS", "send": "STARTTLS\r"},
        {"expect": "^220", "starttls": True},
        {"send": "EHLO probe\r"},
        {"expect": "^250 ", "send": "QUIT\r"},
        {"expect": "^221"},
    ]
    async with mail(certs.server()) as port:
        address = f"127.0.0.1:{port}"
        result = await probe(kind="tcp", address=address, query_response=turns, tls={"ca_file": certs.ca_file})
        short = await probe(kind="tcp", address=address, starttls="smtp", tls={"ca_file": certs.ca_file})
    assert result.success, result.detail
    assert short.success, short.detail
    assert measured(result)["probe_ssl_earliest_cert_expiry"] > 0


async def test_over_tls_the_dialogue_is_the_same(certs: Certs) -> None:
    async with Tcp(scripted(b"* OK ready\r\n", b"a OK bye\r\n"), tls=certs.server()) as port:
        result = await probe(
            kind="tcp",
            address=f"127.0.0.1:{port}",
            use_tls=True,
            tls={"ca_file": certs.ca_file},
            query_response=[{"expect": "OK", "send": "a LOGOUT\r"}, {"expect": "^a OK"}],
        )
    assert result.success, result.detail
    assert measured(result)["probe_tls_version_info{version=TLS 1.3}"] == 1


async def test_a_server_that_hangs_is_cut_at_the_deadline(tcp: Start) -> None:
    dialogue = [{"expect": "^220"}]
    result, limit = await cut("dialogue", kind="tcp", address=f"127.0.0.1:{await tcp(silent)}", query_response=dialogue)
    assert (result.reason, result.detail) == (Reason.DEADLINE, f"not done within {limit}; it was at: dialogue, turn 1")


@pytest.mark.parametrize("piece", [b"x", b"x\n"])
async def test_a_server_that_trickles_is_cut_at_the_deadline(tcp: Start, piece: bytes) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    result = await talked(tcp, talk, {"expect": "^220"}, limit=0.2)
    assert result.reason in {Reason.DEADLINE, Reason.CONNECT_TIMEOUT}
    assert result.duration < 60


@pytest.mark.parametrize("piece", [b"x" * 65536, b"x\n" * 1000])
async def test_a_server_that_floods_is_not_listened_to_for_ever(tcp: Start, piece: bytes) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(piece)
            await writer.drain()

    result = await talked(tcp, talk, {"expect": "^220"})
    assert result.reason is Reason.TOO_LARGE


async def test_a_reset_connection_is_the_reason(tcp: Start) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        writer.transport.abort()

    result = await talked(tcp, reset, {"send": "x"}, {"expect": "^220"})
    assert result.reason is Reason.RESET


@pytest.mark.parametrize(
    "settings",
    [
        {"query_response": [{}]},
        {"query_response": [{"send": "x", "labels": {"a": "$1"}}]},
        {"query_response": [{"expect": "x", "labels": {"service": "$1"}}]},
        {"query_response": [{"expect": "("}]},
        {"use_tls": True, "starttls": "smtp"},
        {"starttls": "smtp", "query_response": [{"starttls": True}]},
        {"starttls": "gopher"},
    ],
)
async def test_a_dialogue_that_makes_no_sense_is_refused_in_the_config(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await probe(kind="tcp", address="a:1", **settings)


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_a_text_without_references_is_sent_as_it_is(text: str) -> None:
    assert expand(text, Found(("whole", "one"), {"n": "named"})) == text


@pytest.mark.parametrize(
    ("text", "expected"), [("$0/$1/$2", "whole/one/"), ("${n}s $missing.", "nameds ."), ("$$1", "$1"), ("$", "$")]
)
def test_a_reference_stands_for_what_was_captured(text: str, expected: str) -> None:
    assert expand(text, Found(("whole", "one"), {"n": "named"})) == expected


@pytest.mark.parametrize("kind", ["tcp", "redis", "postgres"])
async def test_it_connects_from_the_address_that_it_is_told(tcp: Start, kind: str) -> None:
    callers: list[str] = []

    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer.get_extra_info("peername")[0])
        writer.close()

    place = f"127.0.0.1:{await tcp(who)}"
    at: dict[str, dict[str, Any]] = {
        "tcp": {"address": place},
        "redis": {"url": f"redis://{place}"},
        "postgres": {"dsn": f"postgresql://probe@{place}/x?sslmode=disable"},
    }
    await probe(kind=kind, source_ip_address="127.0.0.9", **at[kind])
    await eventually(lambda: bool(callers))
    assert set(callers) == {"127.0.0.9"}


async def test_bytes_that_must_come_next_are_read_whatever_lines_they_are_in(tcp: Start) -> None:
    async def says_s(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(9) == bytes.fromhex("0000000804d2162f0a")
        writer.write(b"S")
        await silent(reader, writer)

    asked = bytes.fromhex("0000000804d2162f").decode("utf-8", "surrogateescape")
    result = await talked(tcp, says_s, {"send": asked}, {"expect_bytes": "S"})
    assert result.success, result.detail
    assert measured(result)["probe_failed_due_to_bytes"] == 0
    result = await talked(tcp, says_s, {"send": asked}, {"expect_bytes": "N"})
    assert (result.reason, result.detail) == (Reason.BODY, "turn 2: the server sent b'S', not b'N'")
    assert measured(result)["probe_failed_due_to_bytes"] == 1
    assert measured(result)["probe_failed_due_to_regex"] == 0
