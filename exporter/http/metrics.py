"""`/metrics` and every other answer in an exposition format: negotiated, compressed and sent part by part."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from deploywatch.access.scopes import Scope, needs
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.exposition import Format, negotiate

try:
    # A fifth of the time of zlib, for a shorter result.
    from isal import isal_zlib as deflate
except ImportError:  # pragma: no cover - it has no wheels for processors other than x86-64 and ARM
    import zlib as deflate  # type: ignore[no-redef]

_FAST = 1
_GZIP = 31  # zlib's word for gzip, with the largest window
_PART = 1024 * 1024  # bytes, which are put together and compressed without a pause
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
        for _ in self._exporter.board.expire():
            await asyncio.sleep(0)
        return await exposed(request, self._pieces(format_), format_)

    def _pieces(self, format_: Format) -> Iterator[bytes]:
        own = generate_openmetrics if format_ is Format.OPENMETRICS else generate_latest
        for piece in self._exporter.board.pieces(format_):
            yield piece.encode()
        yield own(self._registry)


async def exposed(request: web.Request, pieces: Iterable[bytes], format_: Format) -> web.StreamResponse:
    """An answer in a format, compressed for whom takes that; a long one is put together and sent part by part.

    Thousands of targets make a long page, and the probes are not to wait for all of it.
    """
    headers = {"Content-Type": format_.value, "Vary": "Accept, Accept-Encoding"}
    parts = _parts(pieces)
    first = next(parts)
    if sum(map(len, first)) > _WORTH_IT and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=await _compressed(itertools.chain([first], parts)), headers=headers)
    body = [b"".join(first)]
    for part in parts:
        body.append(b"".join(part))
        await asyncio.sleep(0)
    if len(body) == 1 or request.method == "HEAD":
        return web.Response(body=b"".join(body), headers=headers)
    return await _sent(request, body, headers)


async def _sent(request: web.Request, body: Sequence[bytes], headers: Mapping[str, str]) -> web.StreamResponse:
    """An answer of a known length, sent part by part."""
    response = web.StreamResponse(headers=headers)
    response.content_length = sum(map(len, body))
    await response.prepare(request)
    for sent in body:
        await response.write(sent)
        # What was written goes out at once, mostly, and nothing would wait in between.
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _parts(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The pieces in parts, each of which takes a millisecond to make; there is one at least."""
    part: list[bytes] = []
    size = 0
    for piece in pieces:
        part.append(piece)
        size += len(piece)
        if size >= _PART:
            yield part
            part, size = [], 0
    yield part


async def _compressed(parts: Iterable[list[bytes]]) -> bytes:
    """The whole as gzip; between two parts the probes have their turn."""
    compressor = deflate.compressobj(_FAST, deflate.DEFLATED, _GZIP)
    done: list[bytes] = []
    for part in parts:
        done += map(compressor.compress, part)
        # Not in a thread: a part takes less than a millisecond, and who comes back from one may wait five for the lock.
        await asyncio.sleep(0)
    return b"".join([*done, compressor.flush()])


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        coding, *parameters = (word.strip() for word in part.split(";"))
        if coding == "gzip":
            return not any(word in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for word in parameters)
    return False
