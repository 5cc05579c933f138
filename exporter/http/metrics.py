"""`/metrics` and every other answer in an exposition format: negotiated, and compressed off the event loop."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from deploywatch.access.scopes import Scope, needs
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.exposition import Format, negotiate

_FAST = 1
_GZIP = 31  # zlib's word for gzip, with the largest window
_LONG = 1024 * 1024  # bytes, from which on an answer is not copied as a whole
_WORTH_IT = 1400  # bytes: what fits into one packet gains nothing


class MetricsRoute:
    """Answers with what the probes gave and how the exporter itself is doing."""

    def __init__(self, exporter: Exporter, registry: CollectorRegistry) -> None:
        self._exporter = exporter
        self._registry = registry

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        needs(Scope.READ, app.router.add_get("/metrics", self._metrics))

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        format_ = negotiate(request.headers.get("Accept", ""))
        own = generate_openmetrics if format_ is Format.OPENMETRICS else generate_latest
        body = []
        for piece in self._exporter.board.pieces(format_):
            body.append(piece.encode())
            # Thousands of targets make a long page; the probes are not to wait for all of it.
            await asyncio.sleep(0)
        return await exposed(request, [*body, own(self._registry)], format_)


async def exposed(request: web.Request, body: list[bytes], format_: Format) -> web.StreamResponse:
    """An answer in a format, compressed for whom takes that; a long one is sent piece by piece."""
    headers = {"Content-Type": format_.value, "Vary": "Accept, Accept-Encoding"}
    if sum(map(len, body)) > _WORTH_IT and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=await asyncio.to_thread(_compressed, body), headers=headers)
    size = sum(map(len, body))
    if size <= _LONG or request.method == "HEAD":
        return web.Response(body=b"".join(body), headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = size
    await response.prepare(request)
    for piece in body:
        await response.write(piece)
        # What was written goes out at once, mostly, and nothing would wait in between.
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _compressed(body: list[bytes]) -> bytes:
    """The body as gzip; each piece is compressed without holding up other threads."""
    compressor = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP)
    return b"".join([*(compressor.compress(piece) for piece in body), compressor.flush()])


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        coding, *parameters = (word.strip() for word in part.split(";"))
        if coding == "gzip":
            return not any(word in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for word in parameters)
    return False
