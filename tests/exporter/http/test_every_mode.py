"""Ways to ask over HTTP that others have (proxies, OAuth 2, sockets, HTTP/2, any method), together and in every mode.

The modes are the schedule, `/probe`, `/health` asked anew, and `check`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.clock import SystemClock
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.check import all_targets, check
from deploywatch.exporter.exporter import Exporter
from tests.exporter.certs import Certs
from tests.exporter.probes.test_http2 import Http2Server, hello, serving
from tests.exporter.proxy_server import INVENTED, Proxy
from tests.exporter.support import Tcp, Web, eventually

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """Servers, and how each way reaches them; `http2` and `plain` note what they were asked."""

    ways: Mapping[str, Settings]
    http2: Http2Server
    plain: Web


@pytest.fixture
async def world(web: Web, certs: Certs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Servers of HTTP/2 on a port and on a socket, one of HTTP/1.1 with tokens, and proxies that lead to them."""

    async def token(_: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        return aiohttp_web.json_response({"access_token": "t0", "expires_in": 3600})

    async def api(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        return aiohttp_web.Response(status=200 if request.headers.get("Authorization") == "Bearer t0" else 401)

    web.say("/hello", "hello")
    web.on("/token", token)
    web.on("/api", api)
    http2 = Http2Server(hello)
    tls = {"ca_file": certs.ca_file, "server_name": "localhost"}
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(Tcp(http2, tls=serving(certs)))
        on_socket = Tcp(http2, tls=serving(certs))
        await on_socket.start_at(str(tmp_path / "http2.sock"))
        stack.push_async_callback(on_socket.stop)
        proxy = await stack.enter_async_context(Tcp(Proxy()))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        invented = f"http://{INVENTED}:{web.port}"
        secure = {"tls": tls, "enable_http2": True, "expect": {"http_version": ["2"]}}
        oauth2 = {"client_id": "me", "client_secret": "hush", "token_url": f"{invented}/token"}
        oauth2_here = oauth2 | {"token_url": f"{web.url}/token"}
        through, through_socks = ({"proxy_url": f"{kind}://127.0.0.1:{proxy}"} for kind in ("http", "socks5"))
        ways: dict[str, Settings] = {
            "proxy": {"url": f"{invented}/hello", **through},
            "environment": {"url": f"{invented}/hello", "proxy_from_environment": True},
            "http2 by CONNECT": {"url": f"https://{INVENTED}:{port}/", **through, **secure},
            "http2 by SOCKS": {"url": f"https://{INVENTED}:{port}/", **through_socks, **secure},
            "http2 on a socket": {"url": "https://localhost/", "unix_socket": str(tmp_path / "http2.sock"), **secure},
            "http2 and PROPFIND": {"url": f"https://127.0.0.1:{port}/", "method": "PROPFIND", "body": "<a/>", **secure},
            "PROPFIND by a proxy": {"url": f"{invented}/hello", "method": "PROPFIND", **through},
            "token": {"url": f"{web.url}/api", "oauth2": oauth2_here},
            "token by a proxy": {"url": f"{web.url}/api", "oauth2": oauth2 | through},
            "token for http2": {"url": f"https://127.0.0.1:{port}/token", "oauth2": oauth2_here, **secure},
        }
        yield World(ways, http2, web)


def as_module(way: Settings) -> dict[str, Any]:
    """A way as a module, which may go nowhere else."""
    origin = "/".join(way["url"].split("/")[:3])
    return {key: value for key, value in way.items() if key != "url"} | {"kind": "http", "targets": [origin]}


async def test_each_way_is_well_in_every_mode(world: World, tmp_path: Path) -> None:
    names = {name: name.replace(" ", "-") for name in world.ways}
    probes = {names[name]: {"kind": "http", **way} for name, way in world.ways.items()}
    flow = [{"name": names[name], **way} for name, way in world.ways.items()]
    document = {
        "services": {"shop": {"probes": probes | {"flow": {"kind": "flow", "steps": flow}}}},
        "modules": {names[name]: as_module(way) for name, way in world.ways.items()},
        "probe": {"allow": ["127.0.0.0/8"]},
    }
    path = tmp_path / "exporter.yml"
    path.write_text(json.dumps(document))
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        scheduled = {record.target.key.probe: record.last for record in running.board.records.values()}
        assert {name: last and last.detail for name, last in scheduled.items()} == dict.fromkeys(scheduled, "")
        async with client.get("/health", params={"fresh": "1"}) as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "healthy")
        for name, way in world.ways.items():
            query = {"module": names[name], "target": way["url"], "debug": "true"}
            async with client.get("/probe", params=query) as answer:
                text = await answer.text()
                assert "\nprobe_success 1" in text, text
                assert "hush" not in text
    settings = config.load(path)
    checked = await check(all_targets(settings), settings, clock=SystemClock())
    details = {health.key.probe: health.result and health.result.detail for health in checked.probes}
    assert details == dict.fromkeys(scheduled, "")
    asked = {(head[":method"], head.get("authorization", "")) for head in world.http2.requests}
    assert asked == {("GET", ""), ("PROPFIND", ""), ("GET", "Bearer t0")}
    assert b"<a/>" in world.http2.bodies
    assert "PROPFIND" in {request.method for request in world.plain.requests}
