"""Whoever we ask may send us on: nothing that we would say goes to where nobody configured it, by any way out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from itertools import product
from typing import get_args

import pytest
from aiohttp import web

from deploywatch.receiver.channels import KINDS
from tests.receiver.ways_out import CHANNELS, WAYS

STATUSES = (302, 307)
"""One after which a library asks by GET, and one after which it sends the same body again."""


@pytest.fixture
async def stranger() -> AsyncIterator[tuple[Callable[[int], str], list[str]]]:
    """The address of a server that sends everybody on, by status, and what the server that it leads to was sent."""
    seen: list[str] = []

    async def listen(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.path_qs} {dict(request.headers)} {await request.text()}")
        return web.json_response({"ok": True, "keys": [], "channel": "C1", "ts": "1.0", "messages": []})

    async def send_on(request: web.Request) -> web.Response:
        status, path = re.fullmatch(r"/(\d{3})(/.*)?", request.path).groups()  # type: ignore[union-attr]
        return web.Response(status=int(status), headers={"Location": f"http://127.0.0.1:{ports[0]}{path or '/'}"})

    runners, ports = [], []
    for handler in (listen, send_on):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        ports.append(runners[-1].addresses[0][1])
    yield lambda status: f"http://127.0.0.1:{ports[1]}/{status}", seen
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize(("way", "status"), list(product(WAYS, STATUSES)))
async def test_nothing_goes_to_where_a_redirect_leads(
    stranger: tuple[Callable[[int], str], list[str]], way: str, status: int
) -> None:
    address, seen = stranger
    assert await WAYS[way](address(status), 20)
    assert seen == []


def test_each_kind_of_channel_that_asks_by_http_is_tried() -> None:
    kinds = {get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS}
    assert kinds - {"email"} == set(CHANNELS)
