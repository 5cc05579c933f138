"""Numbers in paths and queries that are long or odd: 400 or 404, never 500."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from tests.support.routes import receiver_server, routes

ODD = {
    "5000 digits": "9" * 5000,
    "one more than there can be": str(2**63),
    "zero": "0",
    "many zeros": "0" * 30 + "1",
    "negative": "-1",
    "digits of another script": "٣" * 40,
    "superscript": "²",
    "a fraction": "1.5",
    "an exponent": "1e3",
    "a separator": "1_0",
    "a space": " 1",
    "a line end": "1\n",
    "nul": "1\x00",
    "a path": "../1",
    "letters": "one",
}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """The whole receiver, with a store that has nothing in it."""
    server = await receiver_server(tmp_path)
    async with TestClient(TestServer(server.app)) as running:
        yield running


async def test_a_number_that_is_none_is_400_or_404_on_every_route(
    client: TestClient[web.Request, web.Application], tmp_path: Path
) -> None:
    numbered = [route for route in routes(await receiver_server(tmp_path)) if "{id}" in route.path]
    assert len(numbered) > 15
    wrong = []
    for one in numbered:
        for name, odd in ODD.items():
            url = URL(one.path.replace("{id}", quote(odd, safe="")), encoded=True)
            body = {"by": "ann", "note": "x", "item": 1} if one.method != "GET" else None
            async with client.request(one.method, url, json=body) as answer:
                if answer.status not in {400, 404}:
                    wrong.append((one.method, one.path, name, answer.status))
    assert wrong == []


async def test_a_number_in_a_query_that_is_none_is_refused_or_finds_nothing(
    client: TestClient[web.Request, web.Application],
) -> None:
    wrong = []
    for query in ("incidents?limit=", "deployments?limit=", "audit?limit=", "audit?incident=", "oncall?at="):
        for name, odd in ODD.items():
            async with client.get(URL(f"/api/v1/{query}{quote(odd, safe='')}", encoded=True)) as answer:
                if answer.status >= 500:
                    wrong.append((query, name, answer.status))
    assert wrong == []
