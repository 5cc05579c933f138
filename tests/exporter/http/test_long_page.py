"""A long page of metrics is sent piece by piece, and is the same page."""

from __future__ import annotations

import asyncio
import zlib
from types import ModuleType

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from isal import isal_zlib

from deploywatch.exporter.exposition import Format
from deploywatch.exporter.http import metrics
from deploywatch.exporter.http.metrics import exposed

PIECES = [f"metric_{number} 1\n".encode() * 10_000 for number in range(40)]


async def _answer(request: web.Request) -> web.StreamResponse:
    return await exposed(request, PIECES, Format.TEXT)


@pytest.mark.parametrize("library", [isal_zlib, zlib])
async def test_a_page_of_megabytes_arrives_whole_with_its_length_and_compressed_where_that_is_taken(
    library: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "deflate", library)
    app = web.Application()
    app.router.add_get("/metrics", _answer)
    whole = b"".join(PIECES)
    async with TestClient(TestServer(app), auto_decompress=True) as client:
        async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as plain:
            assert int(plain.headers["Content-Length"]) == len(whole)
            assert await plain.read() == whole
        async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as packed:
            assert packed.headers["Content-Encoding"] == "gzip"
            assert await packed.read() == whole
        async with client.head("/metrics", headers={"Accept-Encoding": "identity"}) as head:
            assert (head.status, await head.read()) == (200, b"")


async def test_while_a_long_page_is_put_together_others_have_their_turn_between_its_parts() -> None:
    turns, size = 0, sum(map(len, PIECES))

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    app = web.Application()
    app.router.add_get("/metrics", _answer)
    async with TestClient(TestServer(app)) as client:
        beside = asyncio.create_task(others())
        await asyncio.sleep(0)
        for accepted in ("gzip", "identity"):
            before = turns
            async with client.get("/metrics", headers={"Accept-Encoding": accepted}) as answer:
                await answer.read()
            assert turns - before > size // 2**20
        beside.cancel()
