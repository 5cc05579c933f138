"""One ICMP echo: a request, and the reply that belongs to it.

Linux lets the groups of net.ipv4.ping_group_range send these without a privilege; others need CAP_NET_RAW.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from dataclasses import dataclass, field

from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.results import Failed, Reason

_ECHO = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_PROTOCOLS = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
# From linux/in.h: Python's socket module has no names for these.
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_IP_RECVTTL = getattr(socket, "IP_RECVTTL", 12)
_SOL_RAW, _ICMP_FILTER = 255, 1
_WANTED = (0, 3, 11)
"""ICMP types that a raw socket is to get: echo replies, unreachable, time exceeded."""

_NO_SOCKET = (
    "this machine lets the exporter send no ICMP echo; set net.ipv4.ping_group_range to a group of its (such as"
    ' "0 2147483647"), or give it CAP_NET_RAW'
)


@dataclass(slots=True)
class Echo:
    """A socket for one request to `address`; Failed(unsupported) where this machine gives none."""

    address: Address
    source: str | None = None
    ttl: int | None = None
    dont_fragment: bool = False
    sock: socket.socket = field(init=False)
    raw: bool = field(init=False, default=False)
    identifier: int = field(init=False)
    sequence: int = field(init=False)

    def __post_init__(self) -> None:
        self.identifier, self.sequence = struct.unpack("!HH", os.urandom(4))
        self.sock = self._socket()
        try:
            self._set_up()
        except BaseException:
            self.sock.close()
            raise

    async def round_trip(self, payload: bytes) -> int | None:
        """Send, and wait for the reply; its hop limit, if the system tells."""
        await asyncio.get_running_loop().sock_sendall(self.sock, self._packet(payload))
        while True:
            await _readable(self.sock)
            try:
                data, ancillary, _, _ = self.sock.recvmsg(65536, 256)
            except BlockingIOError:
                continue
            if self._is_reply(data):
                return _hop_limit(ancillary)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def _socket(self) -> socket.socket:
        family, protocol = self.address.family, _PROTOCOLS[self.address.protocol]
        # First without privileges (net.ipv4.ping_group_range); raw needs CAP_NET_RAW.
        with contextlib.suppress(PermissionError, OSError):
            return socket.socket(family, socket.SOCK_DGRAM, protocol)
        try:
            sock = socket.socket(family, socket.SOCK_RAW, protocol)
        except PermissionError as error:
            raise Failed(Reason.UNSUPPORTED, _NO_SOCKET) from error
        self.raw = True
        return sock

    def _set_up(self) -> None:
        sock, four = self.sock, self.address.protocol == 4
        sock.setblocking(False)
        level = socket.IPPROTO_IP if four else socket.IPPROTO_IPV6
        sock.setsockopt(level, _IP_RECVTTL if four else socket.IPV6_RECVHOPLIMIT, 1)
        # What routers say against it comes back as an error, and at once.
        sock.setsockopt(level, _IP_RECVERR if four else _IPV6_RECVERR, 1)
        if self.ttl:
            sock.setsockopt(level, socket.IP_TTL if four else socket.IPV6_UNICAST_HOPS, self.ttl)
        if self.dont_fragment and four:
            sock.setsockopt(level, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
        if self.raw and four:
            mask = ~sum(1 << kind for kind in _WANTED) & 0xFFFFFFFF
            sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", mask))
        if self.source:
            sock.bind((self.source, 0))
        sock.connect(self.address.sockaddr)

    def _packet(self, payload: bytes) -> bytes:
        kind = _ECHO[self.address.protocol]
        # The kernel writes the checksum of ICMPv6, and both of a socket that is not raw.
        head = struct.pack("!BBHHH", kind, 0, 0, self.identifier, self.sequence)
        return struct.pack("!BBHHH", kind, 0, _checksum(head + payload), self.identifier, self.sequence) + payload

    def _is_reply(self, data: bytes) -> bool:
        if self.raw and self.address.protocol == 4:
            # Raw IPv4 comes with its IP header, raw IPv6 does not.
            data = data[(data[0] & 0x0F) * 4 :] if data else data
        if len(data) < 8:
            return False
        kind, _, _, identifier, sequence = struct.unpack("!BBHHH", data[:8])
        # A raw socket hears everybody's replies; the kernel writes and checks the identifier of the other kind
        # itself.
        own = identifier == self.identifier if self.raw else True
        return bool(kind == _REPLY[self.address.protocol] and own and sequence == self.sequence)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock, wake)
    try:
        await ready
    finally:
        loop.remove_reader(sock)


def _hop_limit(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    kinds = {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}
    values = [value for level, kind, value in ancillary if (level, kind) in kinds]
    return int(struct.unpack("i", values[0][:4])[0]) if values else None


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
