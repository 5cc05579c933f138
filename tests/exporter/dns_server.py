"""A DNS server on this machine, over UDP, TCP and TLS, that knows one small zone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.zone

from tests.exporter.support import Talk

ZONE = """
$ORIGIN example.com.
$TTL 300
@       SOA ns1 hostmaster 2026112801 3600 900 604800 300
@       NS  ns1
ns1     A   192.0.2.53
shop    A   192.0.2.1
shop    A   192.0.2.2
mail    MX  10 shop
text    TXT "v=spf1 -all" "and more"
six     AAAA 2001:db8::1
srv     SRV 1 2 443 shop
"""

Change = Callable[[dns.message.Message], None]


@dataclass(slots=True)
class DnsServer:
    """The server; `change` may spoil an answer, `cut` shortens it, and `raw` replaces it. `asked` is what came."""

    port: int = 0
    tls_port: int = 0
    change: Change = lambda _: None
    raw: bytes | None = None
    cut: int | None = None
    asked: list[dns.message.Message] = field(default_factory=list)

    def answer(self, wire: bytes) -> bytes:
        """What is answered to a query."""
        query = dns.message.from_wire(wire)
        self.asked.append(query)
        if self.raw is not None:
            return self.raw
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        zone = dns.zone.from_text(ZONE, relativize=False)
        question = query.question[0]
        node = zone.get_node(question.name)
        if node is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority.append(zone.find_rrset("@", dns.rdatatype.SOA))
        else:
            wanted = {question.rdtype} if question.rdtype != dns.rdatatype.ANY else {item.rdtype for item in node}
            for kind in wanted:
                if zone.get_rdataset(question.name, kind):
                    reply.answer.append(zone.find_rrset(question.name, kind))
            reply.authority.append(zone.find_rrset("@", dns.rdatatype.NS))
            reply.additional.append(zone.find_rrset("ns1", dns.rdatatype.A))
        self.change(reply)
        return reply.to_wire()[: self.cut]


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self.server.answer(data)
        # A late answer to another query comes first.
        self.transport.sendto(bytes([data[0] ^ 1]) + answer[1:], addr)
        self.transport.sendto(answer, addr)


async def _one_port(server: DnsServer, talk: Talk) -> tuple[list[asyncio.Server], asyncio.DatagramTransport]:
    """A port that is free for TCP is not always free for UDP."""
    while True:
        stream = await asyncio.start_server(talk, "127.0.0.1", 0)
        server.port = stream.sockets[0].getsockname()[1]
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Udp(server), local_addr=("127.0.0.1", server.port)
            )
        except OSError:
            stream.close()
            continue
        return [stream], transport


@asynccontextmanager
async def dns_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[DnsServer]:
    """Serve until the block ends; one port for UDP and TCP."""
    server = DnsServer()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = server.answer(await reader.readexactly(size))
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    streams, transport = await _one_port(server, talk)
    if tls:
        streams.append(await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls))
        server.tls_port = streams[-1].sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        transport.close()
        for stream in streams:
            stream.close()
