"""Names to addresses, in the order to try them; one look-up at a time for a name: a slow one holds one thread."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from deploywatch.exporter.measure import families
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.os_errors import from_os_error
from deploywatch.exporter.results import Failed, Reason


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect: the family and the socket address that go together."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]

    @property
    def protocol(self) -> int:
        """4 or 6."""
        return 6 if self.family == socket.AF_INET6 else 4

    @property
    def ip(self) -> str:
        """The address alone."""
        return str(self.sockaddr[0])


_TARGETS = 65_536
"""Addresses whose hash is kept, more than one process has targets: of fewer each would be forgotten before its turn."""


def note_address(address: Address, measurement: Measurement) -> None:
    """Add which IP version was used, and the address's hash, by which a change of it shows."""
    measurement.add(families.IP_PROTOCOL, address.protocol)
    measurement.add(families.IP_ADDR_HASH, _hash(address.ip))


@lru_cache(maxsize=_TARGETS)
def _hash(ip: str) -> int:
    """FNV-1a of 32 bits, as blackbox_exporter has it."""
    value = 0x811C9DC5
    for byte in ipaddress.ip_address(ip).packed:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


@dataclass(slots=True, eq=False)
class Resolver:
    """Asks the system's resolver, in threads."""

    _pending: dict[tuple[str, int], asyncio.Future[list[Address]]] = field(default_factory=dict)

    async def resolve(self, host: str, port: int, *, prefer: int | None = None) -> list[Address]:
        """Every address of a name, those of IP version `prefer` (4 or 6) first; Failed when there is none."""
        literal = literal_address(host, port)
        if literal:
            return [literal]
        key = (host, port)
        # Hundreds of probes of one host ask at once; getaddrinfo takes a thread each, and there are few of them.
        pending = self._pending.get(key)
        if pending is None:
            pending = asyncio.ensure_future(_look_up(host, port))
            self._pending[key] = pending
            pending.add_done_callback(lambda done: self._forget(key, done))
        # One whose time is over must not cancel the lookup of the others.
        addresses = await asyncio.shield(pending)
        return sorted(addresses, key=lambda address: address.protocol != prefer) if prefer else addresses

    def _forget(self, key: tuple[str, int], done: asyncio.Future[list[Address]]) -> None:
        self._pending.pop(key, None)
        if not done.cancelled():
            # Whoever waited may have run out of time; the outcome is then nobody's.
            done.exception()


def literal_address(host: str, port: int) -> Address | None:
    """The address that a host already is; None for a name."""
    if host.isascii() and host[:1].isdigit():
        # Most literals; to take them apart in Python is what a look-up of one would cost.
        with contextlib.suppress(OSError):
            socket.inet_pton(socket.AF_INET, host)
            return Address(socket.AF_INET, (host, port))
    # In a URL the percent sign before a zone is itself escaped (RFC 6874).
    bare, _, zone = host.replace("%25", "%", 1).partition("%")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if address.version == 6:
        return Address(socket.AF_INET6, (str(address), port, 0, _scope(zone)))
    return Address(socket.AF_INET, (str(address), port))


def _scope(zone: str) -> int:
    """The number of a zone, which is an interface's name or number; 0 for none."""
    if not zone or (zone.isascii() and zone.isdigit()):
        return int(zone or 0)
    try:
        return socket.if_nametoindex(zone)
    except OSError as error:
        raise Failed(Reason.DNS, f"this machine has no interface {zone!r}") from error


async def _look_up(host: str, port: int) -> list[Address]:
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        if isinstance(error, OSError):
            raise from_os_error(error) from error
        raise Failed(Reason.DNS, f"{host!r} is not a name") from error
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in answers]
