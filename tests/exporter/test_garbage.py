"""A finished probe leaves nothing to the garbage collector, whose rounds hold up every other probe."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from deploywatch.clock import SystemClock
from deploywatch.demo.servers import Running
from deploywatch.exporter.probes import KINDS, AnyProbe
from deploywatch.exporter.probes.port import Entry, PortSettings, Registry
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.results import Result

RUNS = 200
MOST = 10
"""Objects that may be found after RUNS probes: fifty after a thousand. One circle a probe would be four hundred."""

_SETTINGS: TypeAdapter[ProbeSettings] = TypeAdapter(AnyProbe)
_REGISTRY: TypeAdapter[dict[str, Entry]] = TypeAdapter(Registry)
Place = Mapping[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Ports of servers in a process of their own, a port where nobody listens, and a folder."""
    folder = tmp_path_factory.mktemp("answering")
    command = [sys.executable, "-m", "tests.exporter.answering", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, socket.socket() as unused:
        assert process.stdout
        unused.bind(("127.0.0.1", 0))  # and does not listen
        ports = json.loads(process.stdout.readline())
        yield {**ports, "nobody": unused.getsockname()[1], "folder": folder, "tls_of": {"ca_file": f"{folder}/ca.pem"}}
        process.terminate()


def _url(port: int, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{port}/"


def _at(port: int) -> str:
    return f"127.0.0.1:{port}"


_STEPS = [{"name": "first", "url": "/"}, {"name": "second", "url": "/second", "expect": {"body": "hello"}}]
WELL: dict[str, Callable[[Place], dict[str, Any]]] = {
    "http": lambda at: {"kind": "http", "url": _url(at["http"])},
    "https": lambda at: {"kind": "http", "url": _url(at["tls"], "https"), "tls": at["tls_of"]},
    "flow": lambda at: {"kind": "flow", "base_url": _url(at["http"]), "steps": _STEPS},
    "tcp": lambda at: {"kind": "tcp", "address": _at(at["http"])},
    "tls": lambda at: {"kind": "tls", "address": _at(at["tls"]), "tls": at["tls_of"]},
    "unix": lambda at: {"kind": "unix", "path": f"{at['folder']}/http.sock"},
    "dns": lambda at: {"kind": "dns", "address": _at(at["dns"]), "query_name": "shop.example.com", "query_type": "A"},
    "dns over tcp": lambda at: {
        "kind": "dns",
        "address": _at(at["dns"]),
        "query_name": "shop.example.com",
        "transport_protocol": "tcp",
    },
    "grpc": lambda at: {"kind": "grpc", "address": _at(at["grpc"])},
    "icmp": lambda _: {"kind": "icmp", "host": "127.0.0.1"},
    "port": lambda at: {"kind": "port", "registry": {"web": {"address": _at(at["http"]), "http": {}}}},
    "postgres": lambda at: {"kind": "postgres", "dsn": at["postgres"]},
    "redis": lambda at: {"kind": "redis", "url": at["redis"]},
}
NOT_WELL: dict[str, Callable[[Place], dict[str, Any]]] = {
    "http, another status": lambda at: {"kind": "http", "url": _url(at["http"]), "expect": {"status": [500]}},
    "http, refused": lambda at: {"kind": "http", "url": _url(at["nobody"])},
    "http, no HTTP": lambda at: {"kind": "http", "url": _url(at["tls"])},
    "http, hanging": lambda at: {"kind": "http", "url": _url(at["hanging"]), "limit": 0.01},
    "https, not trusted": lambda at: {"kind": "http", "url": _url(at["tls"], "https")},
    "flow, another body": lambda at: {
        "kind": "flow",
        "base_url": _url(at["http"]),
        "steps": [{"name": "first", "url": "/", "expect": {"body": "bye"}}],
    },
    "tcp, refused": lambda at: {"kind": "tcp", "address": _at(at["nobody"])},
    "tls, not trusted": lambda at: {"kind": "tls", "address": _at(at["tls"])},
    "unix, no socket": lambda at: {"kind": "unix", "path": f"{at['folder']}/none.sock"},
    "dns, refused": lambda at: {"kind": "dns", "address": _at(at["nobody"]), "query_name": "shop.example.com"},
    "dns, no such name": lambda at: {"kind": "dns", "address": _at(at["dns"]), "query_name": "nothing.example.com"},
    "grpc, refused": lambda at: {"kind": "grpc", "address": _at(at["nobody"])},
    "grpc, not serving": lambda at: {"kind": "grpc", "address": _at(at["grpc"]), "service": "shop.Broken"},
    "port, refused": lambda at: {"kind": "port", "registry": {"web": {"address": _at(at["nobody"]), "http": {}}}},
    "postgres, refused": lambda at: {"kind": "postgres", "dsn": f"postgresql://me@{_at(at['nobody'])}/shop"},
    "redis, refused": lambda at: {"kind": "redis", "url": f"redis://{_at(at['nobody'])}/0"},
}


async def _garbage(settings: dict[str, Any]) -> tuple[Result, Counter[str]]:
    """A result, and what the collector finds after many runs: objects by their type."""
    limit, registry = settings.pop("limit", 60.0), settings.pop("registry", None)
    made = _SETTINGS.validate_python(settings)
    if isinstance(made, PortSettings):
        made = made.of(_REGISTRY.validate_python(registry))
    probe, clock = made.probe(), SystemClock()
    result = await run(probe, limit=limit, clock=clock)
    for _ in range(4):  # what is kept for good is made
        await run(probe, limit=limit, clock=clock)
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    try:
        for _ in range(RUNS if limit > 1 else RUNS // 4):
            result = await run(probe, limit=limit, clock=clock)
        await asyncio.sleep(0.05)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return result, Counter(type(found).__qualname__ for found in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_every_kind_is_asked() -> None:
    assert {name.replace("https", "http").removesuffix(" over tcp") for name in WELL} == set(KINDS)
    assert {name.partition(",")[0].replace("https", "http") for name in NOT_WELL} == set(KINDS) - {"icmp"}


@pytest.mark.parametrize("name", [*WELL, *NOT_WELL])
async def test_a_probe_leaves_nothing_to_the_garbage_collector(
    name: str, place: Place, postgres_server: Running, redis_server: Running
) -> None:
    servers = {"postgres": postgres_server.url, "redis": redis_server.url}
    result, found = await _garbage(({**WELL, **NOT_WELL})[name]({**place, **servers}))
    assert result.success == (name in WELL), result.detail
    assert found.total() <= MOST, found.most_common(10)
