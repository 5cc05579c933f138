"""Pods that a real Prometheus scrapes, and that know what happened in them, whatever is exposed of it.

What happens follows the number of the scrape and no clock, so that a slow machine changes nothing in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from deploywatch.demo.free_ports import free_port

SCRAPES = "pod_scrapes"
"""The gauge that says which of a pod's answers a sample is from."""


@dataclass(slots=True)
class Seen:
    """What one answer exposed, and what had truly happened by then; a restart takes nothing from the latter."""

    exposed: dict[str, int | None]
    happened: dict[str, int]
    restarts: int


@dataclass(slots=True)
class Life:
    """A pod's counters by status; `None` is not there yet.

    `silent` says before which answers how many scrapes fail; what happens meanwhile goes on.
    """

    step: Callable[[Life, int], None]
    silent: dict[int, int] = field(default_factory=dict)
    exposed: dict[str, int | None] = field(default_factory=lambda: {"200": 0, "500": None})
    happened: dict[str, int] = field(default_factory=lambda: {"200": 0, "500": 0})
    restarts: int = 0
    answers: list[Seen] = field(default_factory=list)

    def served(self, status: str, count: int) -> None:
        """So many requests ended like this."""
        self.exposed[status] = (self.exposed[status] or 0) + count
        self.happened[status] += count

    def restart(self) -> None:
        """The process begins anew; of what fails there is no series until something does."""
        self.restarts += 1
        self.exposed = {"200": 0, "500": None}

    def answer(self) -> str | None:
        """The next answer to a scrape; None while it cannot answer."""
        number = len(self.answers) + 1
        self.step(self, number)
        if self.silent.get(number):
            self.silent[number] -= 1
            return None
        self.answers.append(Seen(dict(self.exposed), dict(self.happened), self.restarts))
        lines = [f"# TYPE {SCRAPES} gauge", f"{SCRAPES} {len(self.answers)}", "# TYPE http_requests_total counter"]
        lines += [
            f'http_requests_total{{status="{status}"}} {value}'
            for status, value in self.exposed.items()
            if value is not None
        ]
        return "\n".join(lines) + "\n"


class Pod:
    """A life behind a port of the loopback address, until the `with` block ends."""

    def __init__(self, life: Life) -> None:
        self.life, self.port, lock = life, free_port(), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    text = life.answer()
                self.send_response(200 if text is not None else 503)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_: object) -> None:
                """Prometheus asks each second."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
