"""The time of each phase of an HTTP request."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.net.tls.certificates import Shown

OF_CONNECTIONS = frozenset({"host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
PHASES = ("resolve", "connect", "tls", "processing", "transfer")


@dataclass(slots=True)
class Phases:
    """Seconds spent in each phase, also in one that was broken off; summed over redirects."""

    resolve: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    processing: float = 0.0
    transfer: float = 0.0
    at: str = "start"
    first_lookup: float | None = None
    address: Address | None = None
    shown: Shown | None = None
    resolves: bool = True
    """Whether names are resolved here at all, and not by a proxy."""
    broken: Response | None = None

    def try_at(self, address: Address) -> None:
        """Note the address that is tried next."""
        self.address = address

    def break_off(self, response: Response) -> None:
        """Note what there was of an answer whose body did not come to its end."""
        self.broken = response

    def see(self, shown: Shown) -> None:
        """Note what a server showed in its TLS handshake."""
        self.shown = shown

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time of the block to the phase."""
        self.at = name
        begin = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - begin)
