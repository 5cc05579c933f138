"""`/metrics` and every other answer in an exposition format: negotiated, and compressed off the event loop."""

from __future__ import annotations

import asyncio
import gzip

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.exporter import Exporter
from exporter.exposition import Format, negotiate

_FAST = 1
_WORTH_IT = 1400  # bytes: what fits into one packet gains nothing


class MetricsRoute:
    """Answers with what the probes gave and how the exporter itself is doing."""

    def __init__(self, exporter: Exporter, registry: CollectorRegistry) -> None:
        self._exporter = exporter
        self._registry = registry

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_get("/metrics", self._metrics)

    async def _metrics(self, request: web.Request) -> web.Response:
        format_ = negotiate(request.headers.get("Accept", ""))
        own = generate_openmetrics if format_ is Format.OPENMETRICS else generate_latest
        body = self._exporter.board.text(format_).encode() + own(self._registry)
        return await exposed(request, body, format_)


async def exposed(request: web.Request, body: bytes, format_: Format) -> web.Response:
    """An answer in a format, compressed for whom takes that."""
    headers = {"Content-Type": format_.value, "Vary": "Accept, Accept-Encoding"}
    if len(body) > _WORTH_IT and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        body = await asyncio.to_thread(gzip.compress, body, _FAST, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        coding, *parameters = (word.strip() for word in part.split(";"))
        if coding == "gzip":
            return not any(word in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for word in parameters)
    return False
