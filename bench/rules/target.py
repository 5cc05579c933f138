"""A target that exposes a thousand services: `python -m bench.rules.target PORT`. One in a hundred is not well."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.rules.load import BUCKETS, SERVICES

INSTANCES = ("a", "b")
_RATE = 20.0  # requests a second of an instance


def _series() -> Iterator[tuple[str, float]]:
    """Each series and how much it grows in a second; a gauge stays at minus that."""
    for number, service in enumerate(SERVICES):
        ill = number % 100 == 0
        failing, slow = (0.06, 0.1) if ill else (0.001, 0.01)
        where = f'service="{service}",environment="bench"'
        yield f'probe_success{{{where},probe="health"}}', -float(not ill)
        for instance in INSTANCES:
            own = f'{where},replica="{instance}"'
            for status, share in (("200", 1 - failing), ("404", 0.01), ("500", failing)):
                yield f'http_requests_total{{{own},status="{status}"}}', _RATE * share
            for place, bound in enumerate((*BUCKETS, "+Inf")):
                # All answer within 0.25 s, but for the slow, who take up to 5 s.
                share = 1.0 if bound in {"5", "10", "+Inf"} else min(1 - slow, (place + 1) / 3)
                yield f'http_request_duration_seconds_bucket{{{own},le="{bound}"}}', _RATE * share
            yield f"http_request_duration_seconds_sum{{{own}}}", _RATE * 0.1
            yield f"http_request_duration_seconds_count{{{own}}}", _RATE


SERIES = tuple(_series())
_BEGAN = time.time()


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with all series as of now."""

    def do_GET(self) -> None:
        """The exposition."""
        age = time.time() - _BEGAN
        lines = [f"{name} {-rate if rate <= 0 else rate * age:.3f}\n" for name, rate in SERIES]
        body = "".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
        """Nothing: the benchmark's output is its table."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.rules.target", description=__doc__)
    parser.add_argument("port", type=int)
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler).serve_forever()
