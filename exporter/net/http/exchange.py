"""One HTTP request on a fresh connection: the time of each phase, where it went, and a limited body.

A client of our own, because the phases, the address that is used and the certificate are what is measured, and because
a general client's work for each fresh connection costs more than the probe.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from yarl import URL

from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.dial import Route, connect
from deploywatch.exporter.net.http.http2 import Http2
from deploywatch.exporter.net.http.phases import OF_CONNECTIONS, Phases
from deploywatch.exporter.net.http.proxy import Proxies, authorization, open_proxy, tunnel
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.http.reading.response_parser import read_response
from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.net.tls.handshake import Begin, secure
from deploywatch.exporter.net.unix import open_unix

_HOST_PORT = re.compile(r":\d*\Z")


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

    def fields(self) -> list[tuple[str, str]]:
        """The request's head as HTTP/2 has it: pseudo-headers, and no header that is about a connection."""
        host = next((value for name, value in self.headers if name.lower() == "host"), _host_header(self.url))
        head = [
            (":method", self.method),
            (":scheme", self.url.scheme),
            (":authority", host),
            (":path", self.url.raw_path_qs),
        ]
        if self._has_length():
            head.append(("content-length", str(len(self.body))))
        sent = ((name.lower(), value.strip()) for name, value in self.headers)
        return head + [header for header in sent if header[0] not in OF_CONNECTIONS]

    def to_proxy(self, address: str | None, authorization: str | None) -> bytes:
        """The request as a proxy takes it: for a whole URL, whose host may be given as an `address`."""
        url = self.url.with_host(address) if address else self.url
        _, _, rest = self.wire.partition(b"\r\n")
        whole = f"{self.method} http://{_host_header(url)}{self.url.raw_path_qs} HTTP/1.1\r\n"
        own = f"Proxy-Authorization: {authorization}\r\n" if authorization else ""
        return (whole + own).encode("utf-8", "surrogateescape") + rest

    def _has_length(self) -> bool:
        return bool(self.body) or self.method in {"POST", "PUT", "PATCH"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "wire", self._encoded())

    def _encoded(self) -> bytes:
        lines = [f"{self.method} {self.url.raw_path_qs} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in self.headers):
            lines.append(f"Host: {_host_header(self.url)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self._has_length():
            lines.append(f"Content-Length: {len(self.body)}")
        # A fresh connection for each run: a probe is to see what a new client sees.
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8", "surrogateescape") + self.body


@dataclass(frozen=True, slots=True)
class Via:
    """How to connect: which addresses to try, the TLS context for https, the name to ask for and check there.

    Through a proxy where `proxies` has one for the URL, whose own TLS is `proxy_tls`; or to a `socket` of this machine.
    """

    route: Route
    tls: Callable[[], ssl.SSLContext]
    server_name: str | None = None
    proxies: Proxies = field(default_factory=Proxies)
    proxy_tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    socket: Path | None = None


async def exchange(request: Request, via: Via, phases: Phases, *, body_limit: int) -> Response:
    """Send a request and read the answer; Failed when there is none, or none that is HTTP."""
    host = request.url.raw_host or ""
    # A redirect may lead to another server: what the one before showed is not this one's.
    phases.shown = phases.broken = None
    proxy = None if via.socket else via.proxies.of(request.url)
    addresses = await _resolved(request.url, via, phases, proxy)
    with phases.timed("connect"):
        if via.socket:
            channel, address = await open_unix(via.socket), None
        elif proxy:
            phases.at = "proxy"
            channel, address = await _through(proxy, request.url, addresses, via), next(iter(addresses), None)
        else:
            sock, address = await connect(addresses, phases.try_at, via.route.source)
            channel = Channel(sock)
    try:
        if request.url.scheme == "https":
            with phases.timed("tls"):
                name = via.server_name or request.server_name or host
                begin = _begin(proxy, request.url, addresses, via)
                await secure(channel, via.tls(), name, phases.see, begin, asks=True)
        # What the server chose, not what we offered.
        if channel.tls is not None and channel.tls.selected_alpn_protocol() == "h2":
            response = await _over_http2(request, channel, phases, body_limit)
        else:
            wire = request.wire
            if proxy and proxy.scheme in {"http", "https"} and request.url.scheme == "http":
                wire = request.to_proxy(addresses[0].ip if addresses else None, authorization(proxy))
            with phases.timed("processing"):
                await channel.send(wire)
                # Processing ends with the first byte, as blackbox_exporter counts it.
                first = await channel.receive()
            with phases.timed("transfer"):
                response = await read_response(first, channel.receive, request.method, body_limit, phases.break_off)
        response.address, response.secure = address, request.url.scheme == "https"
        return response
    finally:
        channel.close()


async def _resolved(url: URL, via: Via, phases: Phases, proxy: URL | None) -> list[Address]:
    """The addresses of the URL's host; none where a socket is asked, or a proxy resolves the name."""
    if via.socket:
        phases.resolves = False
        return []
    if proxy and via.proxies.resolves:
        phases.resolves = False
        via.route.permit_literal(url.raw_host or "")
        return []
    with phases.timed("resolve"):
        addresses = await via.route.addresses(url.raw_host or "", url.port or 0)
    if phases.first_lookup is None:
        phases.first_lookup = phases.resolve
    if proxy:
        phases.try_at(addresses[0])
    return addresses


async def _through(proxy: URL, url: URL, addresses: list[Address], via: Via) -> Channel:
    channel = await open_proxy(proxy, via.proxy_tls)
    if url.scheme == "http" and proxy.scheme in {"http", "https"}:
        return channel
    try:
        host = addresses[0].ip if addresses else url.raw_host or ""
        await tunnel(channel, proxy, host, url.port or 0, via.proxies.headers)
    except BaseException:
        channel.close()
        raise
    return channel


def _begin(proxy: URL | None, url: URL, addresses: list[Address], via: Via) -> Begin | None:
    """What is said on another connection to the proxy before TLS can begin there."""
    if proxy is None:
        return None
    host = addresses[0].ip if addresses else url.raw_host or ""

    async def begin(channel: Channel) -> None:
        await tunnel(channel, proxy, host, url.port or 0, via.proxies.headers)

    return begin


async def _over_http2(request: Request, channel: Channel, phases: Phases, limit: int) -> Response:
    http2 = Http2(channel, limit)
    try:
        with phases.timed("processing"):
            await http2.send(request.fields(), request.body)
        with phases.timed("transfer"):
            if request.method == "HEAD":
                http2.done = True
            return await http2.finish()
    finally:
        http2.close()


def _host_header(url: URL) -> str:
    # A zone is this machine's own affair (RFC 6874).
    name = (url.raw_host or "").partition("%")[0] if ":" in (url.raw_host or "") else url.raw_host
    host = f"[{name}]" if ":" in (name or "") else name
    return f"{host}" if url.is_default_port() else f"{host}:{url.port}"
