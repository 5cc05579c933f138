"""Which addresses a probe connects to: the version preferred, and only those that are allowed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from deploywatch.clock import SystemClock
from deploywatch.exporter.net.dial import Route
from deploywatch.exporter.probes import AnyProbe
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.results import Failed, Reason, Result
from tests.exporter.support import Talk, Web, silent

SETTINGS: TypeAdapter[ProbeSettings] = TypeAdapter(AnyProbe)


def only(*networks: str) -> Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool]:
    """Allow addresses of these networks."""
    allowed = [ipaddress.ip_network(network) for network in networks]
    return lambda address: any(address in network for network in allowed)


async def guarded(*networks: str, **settings: Any) -> Result:
    """Run a probe that may connect to these networks only."""
    probe = SETTINGS.validate_python(settings).probe()
    return await run(probe, limit=60, clock=SystemClock(), allowed=only(*networks))


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name has ::1 and 127.0.0.1."""

    async def getaddrinfo(_self: object, host: str, port: int, **_: object) -> list[object]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (Route(), ["::1", "127.0.0.1"]),
        (Route(prefer=4), ["127.0.0.1", "::1"]),
        (Route(prefer=4, fallback=False), ["127.0.0.1"]),
        (Route(allowed=only("127.0.0.0/8")), ["127.0.0.1"]),
    ],
)
async def test_a_route_says_which_addresses_are_tried_in_which_order(
    both: None, route: Route, expected: list[str]
) -> None:
    assert [address.ip for address in await route.addresses("shop.example", 80)] == expected


async def test_without_fallback_the_preferred_version_must_be_there() -> None:
    with pytest.raises(Failed) as caught:
        await Route(prefer=6, fallback=False).addresses("127.0.0.1", 80)
    assert caught.value.reason is Reason.DNS


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1"])
@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "http", "url": "http://{}/"},
        {"kind": "postgres", "dsn": "postgresql://ann:x@{}/shop"},
        {"kind": "redis", "url": "redis://{}/0"},
        {"kind": "redis", "url": "rediss://{}/0"},
    ],
    ids=str,
)
async def test_an_address_that_is_not_allowed_is_never_connected_to(
    tcp: Callable[[Talk], Awaitable[int]], settings: dict[str, str], host: str
) -> None:
    callers: list[object] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        await silent(reader, writer)

    place = f"{host}:{await tcp(talk)}"
    result = await guarded("10.0.0.0/8", **{key: value.format(place) for key, value in settings.items()})
    assert result.reason is Reason.FORBIDDEN, result.detail
    assert callers == []


async def test_the_address_is_checked_again_after_a_redirect(web: Web) -> None:
    url = web.say("/", status=302, headers={"Location": "http://127.0.0.2:1/"})
    result = await guarded("127.0.0.1/32", kind="http", url=url)
    assert result.reason is Reason.FORBIDDEN
    assert len(web.requests) == 1


async def test_what_is_allowed_is_probed(web: Web) -> None:
    assert (await guarded("127.0.0.1/32", kind="http", url=web.say("/"))).success


@pytest.mark.parametrize(
    ("settings", "target", "key", "expected"),
    [
        ({"kind": "http", "url": "http://a/"}, "b:81/x", "url", "http://b:81/x"),
        ({"kind": "http", "url": "http://a/"}, "https://b/", "url", "https://b/"),
        ({"kind": "postgres", "dsn": "postgresql://u:p@a/d"}, "b:1", "dsn", "postgresql://u:p@b:1/d"),
        ({"kind": "postgres", "dsn": "postgresql://u@a/d"}, "postgresql://b/e", "dsn", "postgresql://u@b/e"),
        ({"kind": "redis", "url": "rediss://u:p@a/3"}, "b:1", "url", "rediss://u:p@b:1/3"),
        ({"kind": "redis", "url": "unix:///run/redis.sock"}, "b:1", "url", "redis://b:1"),
    ],
)
def test_a_probe_can_be_given_another_target(settings: dict[str, str], target: str, key: str, expected: str) -> None:
    changed = SETTINGS.validate_python(settings).with_target(target)
    assert getattr(changed, key).get_secret_value() == expected


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ({"kind": "http", "url": "http://a/"}, "ftp://b/"),
        ({"kind": "http", "url": "http://a/"}, "http://"),
        ({"kind": "http", "url": "http://a/"}, "http://b:port/"),
        ({"kind": "postgres", "dsn": "postgresql://u:p@a/d"}, "eve:x@b:1"),
        ({"kind": "postgres", "dsn": "postgresql://u:p@a/d"}, "http://b"),
        ({"kind": "postgres", "dsn": "postgresql://u:p@a/d"}, "b?host=c"),
        ({"kind": "postgres", "dsn": "postgresql://u:p@a/d"}, "[b"),
        ({"kind": "redis", "url": "redis://a"}, "unix:///run/redis.sock"),
        ({"kind": "redis", "url": "redis://a"}, ""),
    ],
)
def test_a_target_that_cannot_be_one_is_refused(settings: dict[str, str], target: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        SETTINGS.validate_python(settings).with_target(target)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_an_address_that_swallows_everything_does_not_hide_the_next(web: Web, kind: str) -> None:
    web.say("/")
    with socket.socket(socket.AF_INET6) as hole, contextlib.ExitStack() as waiting:
        hole.bind(("::1", web.port))
        hole.listen(0)
        # A queue that is full makes the kernel drop what asks for a connection.
        for _ in range(4):
            caller = waiting.enter_context(socket.socket(socket.AF_INET6))
            caller.setblocking(False)
            caller.connect_ex(("::1", web.port))
        place = f"both.test:{web.port}"
        target: dict[str, str] = {"url": f"http://{place}/"} if kind == "http" else {"address": place}
        result = await guarded("::/0", "0.0.0.0/0", kind=kind, **target)
    assert result.success, result.detail
    protocols = [sample.value for sample in result.samples if sample.family.name == "probe_ip_protocol"]
    assert protocols == [4]
