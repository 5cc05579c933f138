"""One HTTP/1.1 request on a fresh connection: the time of each phase, where it went, and a limited body.

A client of our own, because the phases, the address that is used and the certificate are what is measured, and because
a general client's work for each fresh connection costs more than the probe.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from yarl import URL

from deploywatch.exporter.net.certificates import Shown
from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.dial import Route, connect
from deploywatch.exporter.net.handshake import secure
from deploywatch.exporter.net.http.response_parser import Response, read_response
from deploywatch.exporter.net.resolve import Address

_HOST_PORT = re.compile(r":\d*\Z")
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

    def try_at(self, address: Address) -> None:
        """Note the address that is tried next."""
        self.address = address

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


@dataclass(frozen=True, slots=True)
class Request:
    """What to send; `headers` go as they are, beside Host, Connection and Content-Length.

    `wire` is the request as it goes over the wire, put together once for all runs.
    """

    method: str
    url: URL
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    wire: bytes = field(init=False, repr=False, compare=False)

    @property
    def server_name(self) -> str | None:
        """The name that the Host header asks for, if there is one: TLS is for that name, wherever it is reached."""
        value = next((value for name, value in self.headers if name.lower() == "host"), "").strip()
        return _HOST_PORT.sub("", value).strip("[]") or None

    def __post_init__(self) -> None:
        object.__setattr__(self, "wire", self._encoded())

    def _encoded(self) -> bytes:
        lines = [f"{self.method} {self.url.raw_path_qs} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in self.headers):
            lines.append(f"Host: {_host_header(self.url)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8", "surrogateescape") + self.body


@dataclass(frozen=True, slots=True)
class Via:
    """How to connect: which addresses to try, the TLS context for https, the name to ask for and check there."""

    route: Route
    tls: Callable[[], ssl.SSLContext]
    server_name: str | None = None


async def exchange(request: Request, via: Via, phases: Phases, *, body_limit: int) -> Response:
    """Send a request and read the answer; Failed when there is none, or none that is HTTP."""
    host, port = request.url.raw_host or "", request.url.port or 0
    phases.shown = None
    with phases.timed("resolve"):
        addresses = await via.route.addresses(host, port)
    if phases.first_lookup is None:
        phases.first_lookup = phases.resolve
    with phases.timed("connect"):
        sock, address = await connect(addresses, phases.try_at)
    channel = Channel(sock)
    try:
        if request.url.scheme == "https":
            with phases.timed("tls"):
                await secure(channel, via.tls(), via.server_name or request.server_name or host, phases.see)
        with phases.timed("processing"):
            await channel.send(request.wire)
            first = await channel.receive()
        with phases.timed("transfer"):
            response = await read_response(first, channel.receive, request.method, body_limit)
        response.address = address
        return response
    finally:
        channel.close()


def _host_header(url: URL) -> str:
    # A zone is this machine's own affair (RFC 6874).
    name = (url.raw_host or "").partition("%")[0] if ":" in (url.raw_host or "") else url.raw_host
    host = f"[{name}]" if ":" in (name or "") else name
    return f"{host}" if url.is_default_port() else f"{host}:{url.port}"
