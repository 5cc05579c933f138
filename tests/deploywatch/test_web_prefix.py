"""A server stands below a path: its routes answer there alone, its pages link there."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest

from deploywatch.errors import DeploywatchError
from deploywatch.exporter import config as exporter_config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from deploywatch.web.prefix import External
from deploywatch.web.serving import Server
from tests.deploywatch.conftest import Sample, Start
from tests.support.routes import receiver_server

OUTSIDE = "https://ops.example.com/tools/watch/"


async def statuses(sample: Sample, *paths: str) -> list[int]:
    """The status of each path; redirects are not followed."""
    async with aiohttp.ClientSession() as session:
        found = []
        for path in paths:
            async with session.get(f"http://{sample.address}{path}", allow_redirects=False) as answer:
                found.append(answer.status)
        return found


async def test_the_path_of_the_external_url_stands_before_every_route_and_link(start: Start) -> None:
    sample = start("--web.external-url", OUTSIDE)
    assert await statuses(sample, "/tools/watch/-/healthy", "/tools/watch/metrics") == [200, 200]
    assert await statuses(sample, "/metrics", "/-/healthy", "/tools/watcher/metrics", "/tools") == [404] * 4
    assert (await sample.ask("/tools/watch/link?a=%26&b=1")).text == "/tools/watch/link?a=%26&b=1"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{sample.address}/", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/tools/watch/")
        async with session.post(f"http://{sample.address}/tools/watch/-/reload") as answer:
            assert answer.status == 200


async def test_a_proxy_that_takes_the_path_off_is_told_by_the_route_prefix(start: Start) -> None:
    sample = start("--web.external-url", OUTSIDE, "--web.route-prefix", "/")
    assert await statuses(sample, "/-/healthy", "/tools/watch/-/healthy") == [200, 404]
    assert (await sample.ask("/link?a=1")).text == "/tools/watch/link?a=1"


async def test_what_needs_no_credentials_needs_none_below_a_prefix_and_nothing_more_is_open(
    start: Start, tmp_path: Path
) -> None:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    web_config = tmp_path / "web.yml"
    web_config.write_text(f"basic_auth_users: {{ann: {hashed}}}\n")
    sample = start("--web.external-url", OUTSIDE, "--web.config.file", web_config)
    assert await statuses(sample, "/tools/watch/open", "/tools/watch/-/ready") == [200, 200]
    strange = ("/tools/watch/metrics", "/open", "/tools/watch//open", "/tools/watch/open/../metrics", "/")
    assert await statuses(sample, *strange) == [401] * 5


async def test_a_path_that_looks_like_a_host_is_only_a_path(start: Start) -> None:
    host, _, port = start("--web.external-url", OUTSIDE).address.rpartition(":")

    def ask() -> bytes:
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            request = f"GET /tools/watch//evil.example/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            return b"".join(iter(lambda: connection.recv(4096), b""))

    assert b" 404 " in (await asyncio.to_thread(ask)).split(b"\r\n", 1)[0]


@pytest.mark.parametrize(
    "url", ["ops.example.com/x", "ftp://ops.example.com", "https://", "https://a:b/", "http://a/?q"]
)
def test_an_external_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(DeploywatchError, match=r"--web\.external-url"):
        External(url)


@pytest.mark.parametrize("prefix", ["", "watch", "https://a/b", "/a?b", "//a"])
def test_a_route_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(DeploywatchError, match=r"--web\.route-prefix"):
        External("", prefix)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """The server's address, while it runs."""
    at: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(server.run(listening=at.set_result))
    either: set[asyncio.Future[Any]] = {task, at}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"http://{at.result()}"
    finally:
        server.draining.set()
        await task


async def _links(address: str, *starts: str) -> dict[str, int]:
    """What each link, form and stream of all pages leads to that can be reached from the first ones.

    A form's path takes no GET, which 405 says, and is there.
    """
    status: dict[str, int] = {}
    left = list(starts)
    async with aiohttp.ClientSession() as session:
        while left:
            path = left.pop()
            async with session.get(f"{address}{path}", headers={"Accept": "text/html"}) as answer:
                status[path] = answer.status
                if answer.content_type != "text/html":
                    continue
                text = await answer.text()
            matches = re.findall(r'(?:href|src|action|data-stream)="([^"#]+)"', text)
            status |= dict.fromkeys(re.findall(r' (?:form)?action="([^"#]+)"', text), 200)
            left += {unescape(link) for link in matches if link.startswith("/")} - set(status) - set(left)
        for path in status:
            async with session.get(f"{address}{path}") as answer:
                status[path] = 200 if answer.status == 405 else answer.status
    return status


async def test_every_link_of_the_exporters_pages_leads_somewhere_below_a_prefix(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(
        "services:\n  shop:\n    probes: {web: {kind: tcp, address: '127.0.0.1:1', interval: 1s, timeout: 1s}}\n"
    )
    running = Exporter(file, exporter_config.load(file))
    server = make_server(running, listen="127.0.0.1:0", web_config=None, external=External(OUTSIDE))
    async with serving(server) as address:
        async with asyncio.timeout(90):
            while running.not_ready() is not None:  # noqa: ASYNC110 - a first run has no event
                await asyncio.sleep(0.05)
        links = await _links(address, "/tools/watch/")
        result = next(link for link in links if "/results/" in link)
    # The page of services says of each path of /health what it answers, 404 where nothing of its kind is probed.
    others = {link: code for link, code in links.items() if not link.startswith("/tools/watch/health")}
    assert set(others.values()) == {200}, others
    assert set(links.values()) <= {200, 404, 503}, links
    assert all(link.startswith("/tools/watch/") for link in links)
    assert {f"/tools/watch/{page}" for page in ("", "metrics", "services", "wall", "live")} | {result} <= set(links)


async def test_every_link_of_the_receivers_pages_leads_somewhere_below_a_prefix(tmp_path: Path) -> None:
    payload = {
        "version": "4",
        "groupKey": "g",
        "status": "firing",
        "receiver": "deploywatch",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "HighErrors", "service": "shop", "environment": "production"},
                "annotations": {"summary": "5 % of requests fail"},
                "startsAt": "2026-01-02T03:04:05Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "",
                "fingerprint": "0123456789abcdef",
            }
        ],
    }
    server = await receiver_server(tmp_path, external=External(OUTSIDE))
    async with serving(server) as address:
        async with aiohttp.ClientSession(f"{address}/tools/watch/") as session:
            await session.post("webhook/alertmanager", json=payload, raise_for_status=True)
            began = {"service": "shop", "environment": "production", "version": "1"}
            await session.post("api/v1/deployments", json=began, raise_for_status=True)
            taken = await session.post("incidents/1/acknowledge", data={"by": "ann"}, allow_redirects=False)
            assert (taken.status, taken.headers["Location"]) == (303, "/tools/watch/incidents/1")
            assert taken.cookies["deploywatch-name"]["path"] == "/tools/watch/"
        links = await _links(address, "/tools/watch/", "/tools/watch/incidents/1")
    assert set(links.values()) == {200}, {link: code for link, code in links.items() if code != 200}
    assert all(link.startswith("/tools/watch/") for link in links)
    pages = {"", "live", "incidents/1/resolve", "deployments/1/report", "screens", "audit?incident=1"}
    assert {f"/tools/watch/{page}" for page in pages} - set(links) == set()
