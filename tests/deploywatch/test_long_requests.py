"""Requests that take long, as a stranger makes them by the hundred: those that are short are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from deploywatch.web.long_requests import SHARES, Long, kind_of
from tests.exporter.support import Tcp, eventually, silent
from tests.support.routes import exporter_server, receiver_server, routes

Served = tuple[str, int, CollectorRegistry]
LIMIT = 20
SLOW = {
    "probe": "/probe?module=web&target=http://127.0.0.1:{port}/{number}",
    "fresh": "/health/services/shop?fresh=1&deadline=60s&n={number}",
    "live": "/live?n={number}",
}
"""What a stranger may ask for that takes long; by kind."""
SHORT = ("/metrics", "/-/healthy", "/", "/health", "/services?fresh=1", "/config")


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """An open exporter with few connections, and a service's port that never says a word."""
    monkeypatch.setattr("deploywatch.web.connections.MOST", LIMIT)
    monkeypatch.setattr("deploywatch.web.serving.DRAIN_SECONDS", 0.1)
    async with Tcp(silent) as port:
        file = tmp_path / "exporter.yml"
        file.write_text(
            "probe: {allow: [127.0.0.0/8]}\nmodules: {web: {kind: http, timeout: 60s}}\n"
            f"services: {{shop: {{probes: {{a: {{kind: tcp, address: '127.0.0.1:{port}', timeout: 50s, interval: 10m, "
            "query_response: [{expect: '^220'}]}}}}\n"
        )
        server = make_server(Exporter(file, config.load(file)), listen="127.0.0.1:0", web_config=None)
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(server.run(listening=address.set_result))
        yield f"http://{await address}", port, server.registry
        server.draining.set()
        await running


def _is(registry: CollectorRegistry, sample: tuple[str, dict[str, str]], value: float) -> bool:
    return registry.get_sample_value(*sample) == value


async def test_a_stranger_cannot_hold_every_connection_by_what_takes_long(served: Served) -> None:
    url, port, registry = served
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=aiohttp.ClientTimeout(total=60)
    ) as session:
        held: list[asyncio.Task[int]] = []

        async def ask(path: str) -> int:
            async with session.get(url + path) as answer:
                if answer.status == 503 and answer.headers.get("Retry-After") == "5":
                    return answer.status
                return answer.status + len(await answer.read())

        for kind, path in SLOW.items():
            most, sample = int(SHARES[Long(kind)] * LIMIT), ("deploywatch_http_long_requests", {"kind": kind})
            for number in range(most):
                held.append(asyncio.create_task(ask(path.format(port=port, number=number))))
                await eventually(partial(_is, registry, sample, number + 1))
            for number in range(LIMIT):
                assert await ask(path.format(port=port, number=number)) == 503
        assert not [one for one in held if one.done()]
        for path in SHORT:
            async with session.get(url + path) as answer:
                assert answer.status in {200, 503}, path
                assert answer.headers.get("Retry-After") is None
                text = await answer.text()
                if path == "/metrics":
                    for kind in SLOW:
                        wanted = f'deploywatch_http_long_requests_refused_total{{kind="{kind}"}} {LIMIT}.0'
                        assert wanted in text
        for one in held:
            one.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def test_bodies_that_drip_on_served_connections_make_room(served: Served) -> None:
    url = served[0]
    crowd = []
    host = url.removeprefix("http://")
    for _ in range(LIMIT * 2):
        reader, writer = await asyncio.open_connection(*host.split(":"))
        crowd.append(writer)
        # Served first: who has been answered is no silent connection any more.
        writer.write(f"GET /-/healthy HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await reader.readuntil(b"healthy.\n")
        head = f"POST /-/reload HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        writer.write(head.encode() + b"{")
        await writer.drain()
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    assert 'deploywatch_http_connections_closed_total{reason="full"} 0.0' in text
    for writer in crowd:
        writer.close()


async def test_each_route_that_probes_or_streams_is_a_long_one(tmp_path: Path) -> None:
    marked, wanted = {}, {}
    for name, server in (("exporter", exporter_server(tmp_path)), ("receiver", await receiver_server(tmp_path))):
        for routed in routes(server):
            if kind := kind_of(routed.route):
                marked[name, routed.path] = kind
            if routed.path in {"/health/live", "/health/ready"}:
                continue  # they never probe
            for part, long in (("/health", Long.FRESH), ("/probe", Long.PROBE)):
                if routed.path == part or routed.path.startswith(f"{part}/"):
                    wanted[name, routed.path] = long
            if routed.path.endswith("/live"):
                wanted[name, routed.path] = Long.LIVE
    assert marked == wanted
    assert {path for _, path in marked} >= {"/probe", "/health", "/live", "/screen/live"}
