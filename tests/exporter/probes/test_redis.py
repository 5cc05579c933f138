"""The `redis` probe against a real Redis, and a real Valkey where there is one."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from pydantic import ValidationError

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.exporter.probes.redis import RedisSettings
from deploywatch.exporter.results import Reason
from tests.exporter.support import Talk, measured, probe, silent


@pytest.fixture(scope="module")
def guarded(processes: Processes, workshop: Path, redis_program: str) -> Iterator[Running]:
    """A Redis that wants a password, and knows a user who may do little."""
    server = servers.redis(
        processes,
        workshop / f"guarded-{redis_program}",
        options=["--requirepass", "s3cret", "--user", *["reader", "on", ">reader", "~*", "+ping", "+get"]],
        program=redis_program,
    )
    yield server
    server.child.stop()


def test_valkey_is_tried_as_well() -> None:
    if shutil.which("valkey-server") is None:
        pytest.skip("NOT TESTED HERE: Valkey; there is no valkey-server on this machine (Debian has it since 13)")


async def test_a_good_server_is_a_success_with_its_times(any_redis: Running) -> None:
    result = await probe(kind="redis", url=any_redis.url)
    assert result.success, result.detail
    values = measured(result)
    assert 0 < values["probe_redis_ping_seconds"] < 5
    assert 0 < values["probe_redis_round_trip_seconds"] < 5
    assert 0 < values["probe_redis_connect_seconds"] < 5


async def test_what_is_written_is_one_key_that_expires(any_redis: Running) -> None:
    client = redis.asyncio.from_url(any_redis.url)
    try:
        await client.flushdb()
        await probe(kind="redis", url=any_redis.url, key_prefix="ours:")
        keys = [key async for key in client.scan_iter()]
        assert len(keys) == 1
        assert keys[0].startswith(b"ours:")
        assert 0 < await client.ttl(keys[0]) <= 10
    finally:
        await client.aclose()


async def test_a_database_number_is_used(any_redis: Running) -> None:
    assert (await probe(kind="redis", url=any_redis.url.replace("/0", "/3"))).success


async def test_a_missing_password_is_the_reason(guarded: Running) -> None:
    assert (await probe(kind="redis", url=guarded.url)).reason is Reason.AUTH


async def test_a_wrong_password_is_the_reason_and_is_not_shown(guarded: Running) -> None:
    result = await probe(kind="redis", url=guarded.url, password="wr0ng")
    assert result.reason is Reason.AUTH
    assert "wr0ng" not in result.detail


async def test_the_right_password_is_a_success(guarded: Running) -> None:
    result = await probe(kind="redis", url=guarded.url, password="s3cret")
    assert result.success, result.detail


async def test_a_user_who_may_not_write_is_the_reason(guarded: Running) -> None:
    result = await probe(kind="redis", url=guarded.url, username="reader", password="reader")
    assert result.reason is Reason.AUTH
    assert "SET" in result.detail


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_that_is_down_is_the_reason(host: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = await probe(kind="redis", url=f"redis://{host}:{unused.getsockname()[1]}/0")
    assert result.reason is Reason.CONNECT_REFUSED, result.detail


async def test_a_name_without_address_is_the_reason() -> None:
    assert (await probe(kind="redis", url="redis://no-such-host.invalid:6379/0")).reason is Reason.DNS


async def test_a_server_that_stands_still_is_cut_at_the_deadline(
    processes: Processes, workshop: Path, redis_program: str
) -> None:
    server = servers.redis(processes, workshop / f"still-{redis_program}", program=redis_program)
    server.child.send(signal.SIGSTOP)
    try:
        result = await probe(0.3, kind="redis", url=server.url)
        assert result.reason in {Reason.DEADLINE, Reason.CONNECT_TIMEOUT}
        assert result.duration < 60
    finally:
        server.child.send(signal.SIGCONT)
        server.child.stop()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://h/0?socket_timeout=5", "socket_timeout: the probe's timeout bounds a run"),
        ("redis://h/0?decode_responses=True", "decode_responses: no parameter of a Redis URL"),
        ("redis://h/0?clientname=a", "did you mean 'client_name'?"),
        ("redis://h/cache", "the database must be a number"),
        ("redis://h?db=cache", "db must be a number"),
        ("redis://h/0#a", "has a #, after which nothing is read"),
        ("redis://h1:6379,h2:6379/0", "several hosts, and a probe asks one"),
        ("redis://h/0?db=1", "db is there twice"),
        ("redis://h?db=1&db=2", "db is there twice"),
    ],
)
def test_what_a_url_says_that_is_not_honoured_is_refused_by_name(url: str, text: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(text)):
        RedisSettings.model_validate({"kind": "redis", "url": url})


@pytest.mark.parametrize("url", ["redis://h", "redis://h/", "rediss://h/1?ssl_cert_reqs=none", "unix:///run/r?db=2"])
def test_what_a_url_says_that_is_honoured_is_taken(url: str) -> None:
    assert RedisSettings.model_validate({"kind": "redis", "url": url})


async def test_a_database_that_is_not_there_is_told_in_the_servers_words(redis_server: Running) -> None:
    result = await probe(kind="redis", url=redis_server.url.replace("/0", "/99"))
    assert (result.reason, result.detail) == (Reason.QUERY, "connect: DB index is out of range")


async def test_a_server_that_is_no_redis_is_the_reason(tcp: Callable[[Talk], Awaitable[int]]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await silent(reader, writer)

    result = await probe(kind="redis", url=f"redis://127.0.0.1:{await tcp(talk)}/0")
    assert result.reason is Reason.PROTOCOL, result.detail


async def test_a_server_that_hangs_up_is_the_reason(tcp: Callable[[Talk], Awaitable[int]]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    result = await probe(kind="redis", url=f"redis://127.0.0.1:{await tcp(talk)}/0")
    assert result.reason is Reason.RESET, result.detail


async def test_another_value_than_was_stored_is_the_reason(tcp: Callable[[Talk], Awaitable[int]]) -> None:
    answers = {b"PING": b"+PONG\r\n", b"SET": b"+OK\r\n", b"GET": b"$5\r\nother\r\n"}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            for name in data.split(b"\r\n"):
                if name in answers:
                    writer.write(answers[name])
                elif name in {b"CLIENT", b"SELECT"}:
                    writer.write(b"+OK\r\n")

    result = await probe(kind="redis", url=f"redis://127.0.0.1:{await tcp(talk)}/0")
    assert (result.reason, result.detail) == (Reason.VALUE, "GET did not give what SET had stored")


async def test_a_server_is_probed_over_the_ip_version_that_is_asked_for(redis_server: Running) -> None:
    settings: dict[str, Any] = {"kind": "redis", "url": redis_server.url, "ip_protocol_fallback": False}
    good = await probe(preferred_ip_protocol="ip4", **settings)
    assert good.success, good.detail
    other = await probe(preferred_ip_protocol="ip6", **settings)
    assert (other.reason, other.detail) == (Reason.DNS, "127.0.0.1 has no IPv6 address")
    with pytest.raises(ValidationError, match="preferred_ip_protocol is given for a unix socket"):
        await probe(kind="redis", url="unix:///run/redis.sock", preferred_ip_protocol="ip6")
