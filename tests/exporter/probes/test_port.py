"""The `port` probe: which service answers where, against real servers and ports that are free, silent or taken."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploywatch.clock import SystemClock
from deploywatch.demo.servers import Running
from deploywatch.exporter import config
from deploywatch.exporter.probes.port import Entry, PortSettings
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.results import Reason, Result
from deploywatch.exporter.targets import targets
from tests.exporter.certs import Certs
from tests.exporter.support import Talk, Tcp, Web, measured, probe, saying, silent

Start = Callable[[Talk], Awaitable[int]]


@pytest.fixture
def unused() -> Iterator[str]:
    """An address on which nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


async def ports(each: str = "60s", **registry: dict[str, Any]) -> Result:
    """Run the probe on this registry, with so much time for each port."""
    return await probe(120, kind="port", registry=registry, timeout=each)


def state(result: Result, entry: str) -> str:
    """The one state that an entry is in."""
    states = [
        dict(sample.labels)["state"]
        for sample in result.samples
        if sample.family.name == "probe_port_state" and sample.value and dict(sample.labels)["entry"] == entry
    ]
    assert len(states) == 1
    return states[0]


def at(url: str) -> str:
    """The address in a URL."""
    return url.rpartition("@")[2].removeprefix("http://").removeprefix("redis://").partition("/")[0]


async def test_services_that_are_where_they_belong_are_a_success(
    web: Web, postgres_server: Running, any_redis: Running, tcp: Start, unused: str
) -> None:
    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 shop ESMTP\r\n")
        await silent(reader, writer)

    web.say("/health", '{"service": "shop"}', headers={"Server": "shop/1"})
    result = await ports(
        web={"address": at(web.url), "http": {"path": "/health", "body": '"shop"', "headers": {"Server": "^shop"}}},
        database={"address": at(postgres_server.url), "speaks": "postgres"},
        cache={"address": at(any_redis.url), "speaks": "redis"},
        mail={"address": f"127.0.0.1:{await tcp(greeting)}", "banner": "^220 .* ESMTP"},
        reserved={"address": unused, "free": True},
    )
    assert result.success, result.detail
    assert {state(result, name) for name in ("web", "database", "cache", "mail")} == {"expected"}
    assert state(result, "reserved") == "free"


async def test_two_services_that_are_swapped_are_told_by_name(postgres_server: Running, redis_server: Running) -> None:
    database, cache = at(redis_server.url), at(postgres_server.url)
    swapped = {"database": {"address": database, "speaks": "postgres"}, "cache": {"address": cache, "speaks": "redis"}}
    # PostgreSQL does not answer PING: the time for each is waited for.
    result = await ports("300ms", **swapped)
    if result.reason is not Reason.OCCUPIED:  # a slow machine
        result = await ports("20s", **swapped)
    assert (result.reason, result.detail) == (
        Reason.OCCUPIED,
        f"database at {database}: other (cache answers); cache at {cache}: other (database answers)",
    )
    assert measured(result)["probe_port_occupied_info{entry=database,by=cache}"] == 1


async def test_a_port_that_nobody_listens_on_is_free(unused: str) -> None:
    result = await ports(web={"address": unused, "http": {}})
    assert (result.reason, state(result, "web")) == (Reason.CONNECT_REFUSED, "free")
    assert result.detail == f"web at {unused}: free"


async def test_a_port_whose_service_is_not_described_is_as_registered_when_somebody_listens(
    web: Web, unused: str
) -> None:
    assert (await ports(web={"address": at(web.url), "listens": True})).success
    result = await ports(web={"address": unused, "listens": True})
    assert (result.success, result.reason) == (False, Reason.CONNECT_REFUSED)


async def test_a_port_that_must_be_free_and_is_not_is_the_reason(redis_server: Running, web: Web) -> None:
    result = await ports(reserved={"address": at(redis_server.url), "free": True})
    assert (result.reason, state(result, "reserved")) == (Reason.OCCUPIED, "other")


@pytest.mark.parametrize("mark", [{"http": {}}, {"speaks": "postgres"}, {"speaks": "redis"}, {"banner": "."}])
async def test_a_port_that_is_bound_and_says_nothing_is_silent(tcp: Start, mark: dict[str, Any]) -> None:
    result = await ports("300ms", web={"address": f"127.0.0.1:{await tcp(silent)}", **mark})
    assert (result.reason, state(result, "web")) == (Reason.DEADLINE, "silent")
    assert result.duration < 60


@pytest.mark.parametrize("mark", [{"http": {}}, {"speaks": "postgres"}, {"speaks": "redis"}, {"banner": "^220"}])
async def test_a_port_that_says_something_else_is_another_services(tcp: Start, mark: dict[str, Any]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello, this is nothing you know\r\n")
        await writer.drain()
        await silent(reader, writer)

    result = await ports(web={"address": f"127.0.0.1:{await tcp(talk)}", **mark})
    assert (result.reason, state(result, "web")) == (Reason.OCCUPIED, "other")


async def test_a_port_that_hangs_up_is_another_services(tcp: Start) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    result = await ports(web={"address": f"127.0.0.1:{await tcp(talk)}", "speaks": "postgres"})
    assert state(result, "web") == "other"


async def test_another_web_service_is_told_from_ours(web: Web, tcp: Start) -> None:
    web.say("/health", '{"service": "desk"}')
    result = await ports(
        shop={"address": at(web.url), "http": {"path": "/health", "body": '"shop"'}},
        desk={"address": f"127.0.0.1:{await tcp(saying(b''))}", "http": {"path": "/health", "body": '"desk"'}},
    )
    assert state(result, "shop") == "other"
    assert measured(result)["probe_port_occupied_info{entry=shop,by=desk}"] == 1


async def test_a_service_over_tls_is_known_as_well(certs: Certs, web: Web) -> None:
    mark = {"https": True, "tls": {"ca_file": certs.ca_file}, "status": [204]}
    async with Web(tls=certs.server()) as server:
        server.say("/", status=204)
        result = await ports(
            shop={"address": server.url.removeprefix("https://"), "http": mark},
            plain={"address": at(web.url), "http": mark},
        )
    assert state(result, "shop") == "expected"
    assert state(result, "plain") == "other"


async def test_a_probe_of_one_port_knows_the_services_of_all(postgres_server: Running, redis_server: Running) -> None:
    registry = {
        "database": {"address": at(redis_server.url), "speaks": "postgres"},
        "cache": {"address": at(postgres_server.url), "speaks": "redis"},
    }
    result = await probe(kind="port", registry=registry, ports=["database"])
    assert result.detail == f"database at {at(redis_server.url)}: other (cache answers)"
    assert {dict(sample.labels)["entry"] for sample in result.samples} == {"database"}


def test_a_change_in_the_registry_is_a_change_of_those_who_look_at_it(write: Callable[[str], Path]) -> None:
    text = "{ports: {web: {address: 'shop:1', free: true}}, services: {shop: {probes: {ports: {kind: port}}}}}"
    (before,) = targets(config.load(write(text)))
    assert [before] == list(targets(config.load(write(text))))
    assert [before] != list(targets(config.load(write(text.replace("shop:1", "shop:2")))))


async def test_a_name_without_address_is_unreachable() -> None:
    result = await ports(
        web={"address": "no-such-host.invalid:80", "http": {}},
        db={"address": "no-such-host.invalid:1", "speaks": "redis"},
    )
    assert (result.reason, state(result, "web"), state(result, "db")) == (
        Reason.UNREACHABLE,
        "unreachable",
        "unreachable",
    )


async def test_an_address_that_is_not_allowed_is_never_connected_to(web: Web) -> None:
    entry = Entry.model_validate({"address": at(web.url), "http": {}})
    probe = PortSettings(kind="port").of({"web": entry}).probe()
    allowed = ipaddress.ip_network("10.0.0.0/8")
    result = await run(probe, limit=60, clock=SystemClock(), allowed=lambda address: address in allowed)
    assert state(result, "web") == "unreachable"
    assert web.requests == []


async def test_the_deadline_holds_however_many_ports_are_silent() -> None:
    async with Tcp(silent) as port:
        registry = {f"p{number}": {"address": f"127.0.0.{number}:{port}", "banner": "."} for number in range(1, 60)}
        result = await probe(0.5, kind="port", registry=registry, timeout="60s")
    assert result.reason in {Reason.DEADLINE, Reason.CONNECT_REFUSED}
    assert result.duration < 30


@pytest.mark.parametrize(
    "registry",
    [
        {"a": {"address": "a:1"}},
        {"a": {"address": "a:1", "free": False}},
        {"a": {"address": "a:1", "speaks": "redis", "free": True}},
        {"a": {"address": "a:1", "speaks": "redis", "banner": "."}},
        {"a": {"address": "a:1", "speaks": "gopher"}},
        {"a": {"address": "a", "speaks": "redis"}},
        {"a": {"address": "a:1", "http": {"path": "health"}}},
        {"a": {"address": "a:1", "speaks": "redis"}, "b": {"address": "A:1", "free": True}},
    ],
)
async def test_a_registry_that_makes_no_sense_is_refused_in_the_config(registry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await ports(**registry)
