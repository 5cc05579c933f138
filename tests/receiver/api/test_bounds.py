"""Every route that takes a body has a bound in docs/receiver.md, which is the one that holds; and no page of others."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.web.admission import REQUEST_BYTES, STRANGER_BYTES, STRANGER_SECONDS, TOGETHER_BYTES
from deploywatch.web.bodies import SECONDS, TOGETHER
from deploywatch.web.serving import Server
from tests.support.routes import exporter_server, receiver_server, routes

PAGE = Path(__file__).parents[3] / "docs" / "receiver.md"
HEAD = "| Route | Body | Within | All together |\n| --- | --- | --- | --- |\n"
TOKEN = {"Authorization": "Bearer secret"}
MB = 1024**2
FORMS_ALONE = {"/api/v1/approval", "/api/v1/taken"}
"""What a link of a message leads to: a page whose form they take."""


@dataclass(frozen=True)
class Bound:
    """What a route's body may be."""

    size: int
    seconds: float
    together: int | None


def _bound(server: Server, path: str) -> Bound:
    if path in server.large_paths:
        return Bound(server.max_body, SECONDS, TOGETHER)
    if path in server.open_paths:
        return Bound(STRANGER_BYTES, STRANGER_SECONDS, None)
    return Bound(REQUEST_BYTES, SECONDS, TOGETHER_BYTES)


def _size(count: int) -> str:
    return f"{count // MB} MB" if count >= MB else f"{count // 1024} kB"


def _rows(server: Server) -> str:
    rows = []
    for route in routes(server):
        if route.method == "GET":
            continue
        bound = _bound(server, route.path)
        size = "`max_body`, 32 MB" if route.path in server.large_paths else _size(bound.size)
        together = _size(bound.together) if bound.together else "by connections"
        rows.append(f"| `{route.method} {route.path}` | {size} | {bound.seconds:g} s | {together} |\n")
    return "".join(rows)


@pytest.fixture
async def servers(tmp_path: Path) -> list[Server]:
    """Both, with a token."""
    web_config = tmp_path / "web.yml"
    web_config.write_text("bearer_tokens: [secret]\n")
    return [await receiver_server(tmp_path, web_config), exporter_server(tmp_path, web_config)]


@pytest.fixture
async def served(servers: list[Server]) -> AsyncIterator[list[tuple[Server, str]]]:
    """Both, served without their work: no store is opened and nothing is probed."""
    running = []
    for server in servers:
        server.app.cleanup_ctx.clear()
        running.append(TestServer(server.app))
        await running[-1].start_server()
    yield [(server, str(one.make_url("")).rstrip("/")) for server, one in zip(servers, running, strict=True)]
    for one in running:
        await one.close()


def test_the_page_says_each_bound(servers: list[Server]) -> None:
    assert servers[0].max_body == ReceiverConfig.model_fields["max_body"].default == 32 * MB
    before, head, after = PAGE.read_text().partition(HEAD)
    match = re.match(r"(\|.*\n)*", after)
    assert match
    table = "".join(map(_rows, servers[:1]))
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(before + HEAD + table + after[match.end() :])
        return
    assert head
    assert match[0] == table


async def test_a_body_beyond_its_bound_is_refused_on_every_route(served: list[tuple[Server, str]]) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for server, url in served:
            for route in routes(server):
                if route.method == "GET":
                    continue
                size = _bound(server, route.path).size + 1
                # A length that is said is enough where a credential is shown; who shows none sends it all.
                body = bytes(size) if route.path in server.open_paths else b"{"
                length = {"Content-Length": str(size), "Content-Type": "application/json"}
                async with session.request(
                    route.method, url + route.concrete, data=body, headers={**TOKEN, **length}, allow_redirects=False
                ) as answer:
                    assert answer.status == (400 if route.path in server.large_paths else 413), route


async def test_what_readers_of_json_differ_about_is_refused_on_every_route(served: list[tuple[Server, str]]) -> None:
    wrong = {b'{"by": "ann", "by": "bob"}': "says 'by' twice", b'{"by": NaN}': "", b'{"by": 1e999}': "", b"[" * 200: ""}
    asked = 0
    async with aiohttp.ClientSession() as session:
        for server, url in served:
            for route in routes(server):
                if route.method == "GET" or route.path in FORMS_ALONE or not route.path.startswith("/api/"):
                    continue
                asked += 1
                for body, said in wrong.items():
                    async with session.request(
                        route.method,
                        url + route.concrete,
                        data=body,
                        headers={**TOKEN, "Content-Type": "application/json"},
                        allow_redirects=False,
                    ) as answer:
                        text = await answer.text()
                        assert answer.status == 400, (route, body, text)
                        assert text.startswith("$: Invalid JSON: ")
                        assert said in text
    assert asked > 20


async def test_a_page_of_another_origin_is_refused_on_every_route(served: list[tuple[Server, str]]) -> None:
    reached: list[str] = []
    evil = "https://evil.example"
    signs = (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": evil},
        {"Origin": evil},
        {"Origin": "null"},
        {"Origin": evil, "Host": "evil.example"},
        {"Origin": evil, "Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
    )
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for server, url in served:
            for route in routes(server):
                if route.method == "GET":
                    continue
                for sign in signs:
                    headers = {**TOKEN, **sign, "Content-Type": "application/json"}
                    async with session.request(
                        route.method, url + route.concrete, data=b"{}", headers=headers, allow_redirects=False
                    ) as answer:
                        assert answer.status == 403, (route, sign)
                        reached.append(await answer.text())
    assert len(reached) > 40 * len(signs)
    assert {text.partition(",")[0] for text in reached} <= {
        "a page of another origin may not ask for this\n",
        "this server is not called what Host says",
    }


async def test_what_asks_changes_nothing(served: list[tuple[Server, str]]) -> None:
    """No route is reached by GET or HEAD that is there for POST or PATCH alone, however the method is overridden."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for server, url in served:
            asked = {route.path for route in routes(server) if route.method == "GET"}
            for one in routes(server):
                if one.method == "GET" or one.path in asked:
                    continue
                headers = {**TOKEN, "X-HTTP-Method-Override": one.method, "X-Method-Override": one.method}
                for method in ("GET", "HEAD"):
                    address = f"{url}{one.concrete}?_method={one.method}"
                    async with session.request(method, address, headers=headers, allow_redirects=False) as answer:
                        assert answer.status in (404, 405), one
