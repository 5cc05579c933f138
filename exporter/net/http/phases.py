"""The time of each phase of an HTTP request."""

from __future__ import annotations

import time
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

    def timed(self, name: str) -> Timed:
        """Add the time of the block to the phase."""
        self.at = name
        return Timed(self, name)


class Timed:
    """The time of a block, added to a phase."""

    # Not a generator's context: there are four for each run, and this one costs half.
    __slots__ = ("_begin", "_name", "_phases")

    def __init__(self, phases: Phases, name: str) -> None:
        self._phases, self._name = phases, name

    def __enter__(self) -> None:
        """The block begins."""
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        """The block has ended, however."""
        took = time.perf_counter() - self._begin
        setattr(self._phases, self._name, getattr(self._phases, self._name) + took)
