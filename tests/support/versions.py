"""Versions of a shop as a Prometheus scrapes them: requests that come at a rate, of which a share is bad."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(slots=True)
class Version:
    """One version of the shop as it is scraped: requests that come at a rate, of which a share is bad."""

    name: str
    rate: float
    bad: float
    began: float = 0.0

    def page(self) -> bytes:
        """Its counters now."""
        total = int((time.time() - self.began) * self.rate)
        failed = int(total * self.bad)
        labels = f'service="shop",environment="production",version="{self.name}"'
        lines = ["# TYPE http_requests_total counter"]
        for status, count in (("200", total - failed), ("500", failed)):
            lines.append(f'http_requests_total{{{labels},status="{status}"}} {count}')
        return ("\n".join(lines) + "\n").encode()


@contextmanager
def served(version: Version) -> Iterator[int]:
    """The port where a version's metrics are."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = version.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
            pass

    version.began = time.time()
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
