"""A TCP connection to a name: the addresses that may be tried, in order, and the first of them that answers."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohappyeyeballs import start_connection

from deploywatch.exporter.net.resolve import Address, Resolver, literal_address
from deploywatch.exporter.net.tls.certificates import Shown, certificate_name, shown
from deploywatch.exporter.net.tls.handshake import BROKEN_OFF, Begin, seen_in, telling
from deploywatch.exporter.probing.measurement import Allowed
from deploywatch.exporter.results import Failed, Reason

# RFC 8305 recommends it: longer than most round trips, shorter than anybody's patience.
ATTEMPT_DELAY = 0.25
"""Seconds after which the next address is tried beside one that has not answered."""

_RESOLVER = Resolver()
_KEEPALIVE = (
    # A host that is gone is noticed within a minute, also by a connection on which nothing is said.
    ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 30),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), 10),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPCNT), 3),
)


@dataclass(frozen=True, slots=True)
class Route:
    """Which addresses of a name to try: IP version `prefer` (4 or 6) first, without `fallback` no other.

    With `source`, an address of this machine, connections begin there.
    """

    prefer: int | None = None
    fallback: bool = True
    allowed: Allowed | None = None
    source: str | None = None
    resolver: Resolver = _RESOLVER

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses to try, in order; Failed(dns) when there is none, Failed(forbidden) when none is allowed."""
        addresses = await self.resolver.resolve(host, port, prefer=self.prefer)
        if self.prefer and not self.fallback:
            addresses = [address for address in addresses if address.protocol == self.prefer]
            if not addresses:
                raise Failed(Reason.DNS, f"{host} has no IPv{self.prefer} address")
        if self.source:
            version = ipaddress.ip_address(self.source).version
            addresses = [address for address in addresses if address.protocol == version]
            if not addresses:
                raise Failed(Reason.DNS, f"{host} has no IPv{version} address, as source_ip_address {self.source} is")
        if self.allowed is None:
            return addresses
        allowed = [address for address in addresses if self.allowed(ipaddress.ip_address(address.ip))]
        if not allowed:
            # Raises: the first address stands for all of them, so that people read one.
            permit(addresses[0], self.allowed)
        return allowed

    def permit_literal(self, host: str) -> None:
        """Failed(forbidden) for an address that is not allowed; what a name stands for a proxy alone knows."""
        if self.allowed is None:
            return
        literal = literal_address(host, 0)
        try:
            # As C libraries read it: 127.1, 0x7f.1 and 2130706433 are addresses.
            literal = literal or Address(socket.AF_INET, (socket.inet_ntoa(socket.inet_aton(host)), 0))
        except OSError:
            # A proxy resolves names in its own network, where ours mean nothing; localhost means the proxy's machine
            # everywhere.
            if host.rstrip(".").lower() != "localhost":
                return
            literal = Address(socket.AF_INET, ("127.0.0.1", 0))
        permit(literal, self.allowed)


def permit(address: Address, allowed: Allowed | None) -> None:
    """Failed(forbidden) when the address is not allowed."""
    if allowed and not allowed(ipaddress.ip_address(address.ip)):
        raise Failed(Reason.FORBIDDEN, f"{address.ip} is an address where this exporter may not connect to")


async def connect(
    addresses: list[Address], trying: Callable[[Address], None] = lambda _: None, source: str | None = None
) -> tuple[socket.socket, Address]:
    """A connected, non-blocking socket to the first address that answers, and that address; OSError when none does.

    It begins at the address `source` of this machine, where one is given.

    One that has not answered after 250 ms has the next tried beside it (RFC 8305).
    """
    if not addresses:
        raise Failed(Reason.DNS, "the name has no address")
    trying(addresses[0])
    if len(addresses) > 1:
        sock, reached = await _race(addresses, source)
        trying(reached)
        return sock, reached
    address = addresses[0]
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, 0))
        await _connected(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock, address


# asyncio's own looks the address up once more, though it is one: a tenth of what an HTTP probe costs beside the system.
async def _connected(sock: socket.socket, to: Address) -> None:
    try:
        sock.connect(to.sockaddr)
    except (BlockingIOError, InterruptedError):
        loop = asyncio.get_running_loop()
        writable = loop.create_future()
        loop.add_writer(sock, _set_once, writable)
        try:
            await writable
        finally:
            loop.remove_writer(sock)
        if problem := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(problem, os.strerror(problem)) from None


def _set_once(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _race(addresses: list[Address], source: str | None) -> tuple[socket.socket, Address]:
    infos = [(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address.sockaddr) for address in addresses]
    local = [(addresses[0].family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (source, 0))] if source else None
    sock = await start_connection(infos, local_addr_infos=local, happy_eyeballs_delay=ATTEMPT_DELAY, interleave=1)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = str(sock.getpeername()[0]).partition("%")[0]
    except BaseException:
        sock.close()
        raise
    return sock, next(address for address in addresses if address.ip.partition("%")[0] == peer)


@dataclass(slots=True, eq=False)
class Dialer:
    """Stands in for the event loop in a library that connects by itself, so that it goes where the route says.

    `reached` is the address of the last connection, and `shown` what its server showed when TLS began or failed to.
    `begin` is what the library says before TLS.
    """

    route: Route
    server_name: str | None = None
    begin: Begin | None = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    reached: Address | None = None
    shown: Shown | None = None

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int, **options: Any) -> Any:
        """As the event loop's own, but over the route."""
        self.shown = None
        sock, self.reached = await connect(await self.route.addresses(host, port), source=self.route.source)
        for option, value in _KEEPALIVE:
            sock.setsockopt(*option, value)
        name = certificate_name(self.server_name or options.get("server_hostname") or host)
        if isinstance(options.get("ssl"), ssl.SSLContext):
            options |= {"ssl": telling(options["ssl"]), "server_hostname": name}
        try:
            transport, protocol = await self.loop.create_connection(factory, sock=sock, **options)
        except BaseException as error:
            sock.close()
            if options.get("ssl") and isinstance(error, BROKEN_OFF):
                raise await self._refused(error, name) from error
            raise
        self._see(transport)
        return transport, protocol

    async def start_tls(
        self, transport: Any, protocol: Any, context: ssl.SSLContext, *, server_hostname: str | None = None
    ) -> Any:
        """As the event loop's own, with the server name of the config if there is one."""
        name = certificate_name(self.server_name or server_hostname or "") or None
        try:
            secured = await self.loop.start_tls(transport, protocol, telling(context), server_hostname=name)
        except BROKEN_OFF as error:
            raise await self._refused(error, name or "", self.begin) from error
        if secured is not None:
            self._see(secured)
        return secured

    async def _refused(self, error: ssl.SSLError | ConnectionError, name: str, begin: Begin | None = None) -> Exception:
        self.shown, most = await seen_in(error, self.reached, name, begin)
        return most

    def _see(self, transport: Any) -> None:
        secured = transport.get_extra_info("ssl_object")
        self.shown = shown(secured) if secured else None

    def __getattr__(self, name: str) -> Any:
        """Everything else is the event loop's."""
        if name.startswith("__") or name == "loop":
            raise AttributeError(name)
        return getattr(self.loop, name)
