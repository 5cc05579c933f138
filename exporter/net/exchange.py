"""One HTTP/1.1 request on a fresh connection: the time of each phase, where it went, and a limited body.

A client of our own, because the phases, the address that is used and the certificate are what is measured, and because
a general client's work for each fresh connection costs more than the probe.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from yarl import URL

from exporter.net.dial import Route, connect
from exporter.net.resolve import Address
from exporter.net.wire import HEAD_LIMIT, Response, read_body, read_head

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

    def try_at(self, address: Address) -> None:
        """Note the address that is tried next."""
        self.address = address

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
    """What to send; `headers` go as they are, beside Host, Connection and Content-Length."""

    method: str
    url: URL
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def encoded(self) -> bytes:
        """The request as it goes over the wire."""
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
    with phases.timed("resolve"):
        addresses = await via.route.addresses(host, port)
    if phases.first_lookup is None:
        phases.first_lookup = phases.resolve
    with phases.timed("connect"):
        sock, address = await connect(addresses, phases.try_at)
    reader, writer = await _open(sock, request.url, via, phases)
    try:
        with phases.timed("processing"):
            writer.write(request.encoded())
            first = await reader.read(1)
        with phases.timed("transfer"):
            response = await read_head(first, reader)
            _describe_connection(response, address, writer)
            await read_body(response, request.method, reader, body_limit)
        return response
    finally:
        # Everything that was wanted has been read: no polite goodbye to a server that may never answer it.
        writer.transport.abort()


async def _open(
    sock: socket.socket, url: URL, via: Via, phases: Phases
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        if url.scheme != "https":
            return await asyncio.open_connection(sock=sock, limit=HEAD_LIMIT)
        with phases.timed("tls"):
            return await asyncio.open_connection(
                sock=sock, limit=HEAD_LIMIT, ssl=via.tls(), server_hostname=via.server_name or url.raw_host
            )
    except BaseException:
        sock.close()
        raise


def _describe_connection(response: Response, address: Address, writer: asyncio.StreamWriter) -> None:
    response.address = address
    tls = writer.get_extra_info("ssl_object")
    if tls is None:
        return
    response.tls_version = tls.version()
    certificate = tls.getpeercert()
    if certificate and "notAfter" in certificate:
        response.certificate_expiry = float(ssl.cert_time_to_seconds(certificate["notAfter"]))


def _host_header(url: URL) -> str:
    host = f"[{url.raw_host}]" if ":" in (url.raw_host or "") else url.raw_host
    return f"{host}" if url.is_default_port() else f"{host}:{url.port}"
