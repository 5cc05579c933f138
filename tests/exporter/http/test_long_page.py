"""A long page of metrics is sent piece by piece, and is the same page."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.exporter.exposition import Format
from deploywatch.exporter.http.metrics import exposed

PIECES = [f"metric_{number} 1\n".encode() * 10_000 for number in range(40)]


async def _answer(request: web.Request) -> web.StreamResponse:
    return await exposed(request, PIECES, Format.TEXT)


async def test_a_page_of_megabytes_arrives_whole_with_its_length_and_compressed_where_that_is_taken() -> None:
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
