"""Proxies: which one a URL goes through, and how a connection through it is made."""

from __future__ import annotations

import base64
import ipaddress
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from yarl import URL

from deploywatch.exporter.net.channel import Channel, Tunnel
from deploywatch.exporter.net.dial import Route, connect
from deploywatch.exporter.net.http.reading.response_parser import read_response
from deploywatch.exporter.probing.os_errors import from_os_error
from deploywatch.exporter.results import Failed, Reason

SCHEMES = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_SOCKS_ERRORS = {
    1: "general failure",
    2: "not allowed",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy of each URL: `http` and `https` by its scheme, none where `no_proxy` says so.

    With `loopback` what is on this machine goes through the proxy too. `headers` go to the proxy alone, with CONNECT.
    `resolves` says that names are the proxy's affair; otherwise it is told addresses.
    """

    http: URL | None = None
    https: URL | None = None
    no_proxy: str = ""
    loopback: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    resolves: bool = True

    def of(self, url: URL) -> URL | None:
        """The proxy to take."""
        proxy = self.https if url.scheme == "https" else self.http
        return None if proxy is None or self._excluded(url) else proxy

    def _excluded(self, url: URL) -> bool:
        host, port = (url.raw_host or "").lower().rstrip("."), url.port
        if not self.loopback and (host == "localhost" or _is_loopback(host)):
            return True
        return any(_covers(entry.strip().lower(), host, port) for entry in self.no_proxy.split(",") if entry.strip())


def from_environment(variables: Mapping[str, str] | None = None) -> tuple[str, str, str]:
    """The proxies for http and https and what goes through none, as curl and Go read the environment."""
    given = os.environ if variables is None else variables

    def value(name: str) -> str:
        return given.get(name.upper()) or given.get(name) or ""

    # In CGI a client could set HTTP_PROXY by a header.
    http = "" if "REQUEST_METHOD" in given else value("http_proxy")
    return http, value("https_proxy"), value("no_proxy")


def proxy_url(text: str) -> URL:
    """Read a proxy's URL; `host:port` alone is http. ValueError for what is none."""
    try:
        url = URL(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ValueError("is not a proxy; write http://host:port") from error
    if url.scheme not in SCHEMES or not url.host:
        raise ValueError(f"is not a proxy; write http://host:port, or one of {', '.join(SCHEMES)}")
    return url


def authorization(proxy: URL) -> str | None:
    """The Proxy-Authorization header of a proxy's URL that has a user in it."""
    if proxy.user is None:
        return None
    return "Basic " + base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()


async def open_proxy(proxy: URL, tls: Callable[[], ssl.SSLContext]) -> Channel:
    """A connection to the proxy; Failed(proxy) when there is none. Where it is, the config alone decides."""
    host, port = proxy.raw_host or "", proxy.explicit_port or SCHEMES[proxy.scheme]
    try:
        sock, _ = await connect(await Route().addresses(host, port))
        return await _secured(Channel(sock), tls(), host) if proxy.scheme == "https" else Channel(sock)
    except Failed as failed:
        raise Failed(Reason.PROXY, f"the proxy {host}:{port}: {failed.detail}") from failed
    except OSError as error:
        raise Failed(Reason.PROXY, f"the proxy {host}:{port}: {from_os_error(error).detail}") from error


async def _secured(channel: Channel, context: ssl.SSLContext, host: str) -> Channel:
    try:
        await channel.secure(context, host)
    except BaseException:
        channel.close()
        raise
    return Tunnel(channel)


async def tunnel(channel: Channel, proxy: URL, host: str, port: int, headers: tuple[tuple[str, str], ...]) -> None:
    """Have the proxy connect to host and port; Failed(proxy) says what it answered instead."""
    try:
        if proxy.scheme.startswith("socks5"):
            await _socks(channel, proxy, host, port)
        else:
            await _connect(channel, proxy, host, port, headers)
    except (OSError, EOFError) as error:
        text = from_os_error(error).detail if isinstance(error, OSError) else "the connection was closed"
        raise Failed(Reason.PROXY, f"the proxy {proxy.raw_host}: {text}") from error


async def _connect(channel: Channel, proxy: URL, host: str, port: int, headers: tuple[tuple[str, str], ...]) -> None:
    to = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}", *(f"{name}: {value}" for name, value in headers)]
    own = authorization(proxy)
    if own and not any(name.lower() == "proxy-authorization" for name, _ in headers):
        lines.append(f"Proxy-Authorization: {own}")
    await channel.send("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
    try:
        # As HEAD has none, what follows the head of a good answer is the tunnel's.
        response = await read_response(await channel.receive(), channel.receive, "HEAD", 0)
    except Failed as failed:
        raise Failed(Reason.PROXY, f"the proxy {proxy.raw_host}: {failed.detail}") from failed
    if response.status != 200:
        raise Failed(Reason.PROXY, f"the proxy {proxy.raw_host} answered CONNECT {to} with {response.status}")


async def _socks(channel: Channel, proxy: URL, host: str, port: int) -> None:
    """RFC 1928, with RFC 1929 where the URL has a user."""
    reader = _Exactly(channel)
    await channel.send(b"\x05\x02\x00\x02" if proxy.user is not None else b"\x05\x01\x00")
    version, method = await reader.read(2)
    if version != 5 or method == 0xFF:
        raise Failed(Reason.PROXY, f"the proxy {proxy.raw_host} takes no SOCKS5 without other credentials")
    if method == 2:
        user, password = unquote(proxy.user or "").encode()[:255], (proxy.password or "").encode()[:255]
        await channel.send(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if (await reader.read(2))[1] != 0:
            raise Failed(Reason.PROXY, f"the proxy {proxy.raw_host} refuses the user and password")
    await channel.send(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big"))
    _, code, _, kind = await reader.read(4)
    if code:
        reason = _SOCKS_ERRORS.get(code, f"error {code}")
        raise Failed(Reason.PROXY, f"the proxy {proxy.raw_host} cannot connect to {host}:{port}: {reason}")
    size = {1: 4, 4: 16}.get(kind) or (await reader.read(1))[0]
    await reader.read(size + 2)


def _socks_address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna") if not host.isascii() else host.encode()
        return b"\x03" + bytes([len(name)]) + name
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed


class _Exactly:
    """Reads so many bytes, and no more than the proxy sends before the tunnel is there."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._buffer = b""

    async def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            piece = await self._channel.receive()
            if not piece:
                raise EOFError
            self._buffer += piece
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of no_proxy is about this host and port."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ipaddress.ip_address(host.partition("%")[0]) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, _, of_port = entry.rpartition(":") if entry.count(":") == 1 or entry.startswith("[") else (entry, "", "")
    if entry.startswith("[") and entry.endswith("]"):
        name, of_port = entry, ""
    if of_port and of_port != str(port):
        return False
    name = name.strip("[]").removeprefix("*").rstrip(".")
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")
