"""One DNS query over UDP, TCP or TLS; dnspython writes and reads the messages."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.lines import Lines
from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.results import Failed, Reason

# A DNS message over TCP has two bytes for its length.
_LARGEST = 65_535

Section = list[str]


def query(name: str, kind: str, class_: str, *, recursion: bool) -> dns.message.QueryMessage:
    """The query, with a random ID; ValueError when the name is none."""
    try:
        whole = dns.name.from_text(name)
    except dns.exception.DNSException as error:
        raise ValueError(f"{name!r} is not a name: {error}") from error
    return dns.message.make_query(
        whole,
        dns.rdatatype.from_text(kind),
        dns.rdataclass.from_text(class_),
        # As blackbox_exporter asks: with EDNS some old servers answer FORMERR.
        use_edns=False,
        flags=dns.flags.RD if recursion else 0,
    )


async def over_udp(sock: socket.socket, message: dns.message.Message) -> dns.message.Message:
    """Send it on a connected socket, and wait for the answer that belongs to it; others are late ones to others."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, message.to_wire())
    while True:
        wire = await loop.sock_recv(sock, _LARGEST)
        # Anything else is a late answer to an earlier query, or a forged one.
        if wire[:2] == message.id.to_bytes(2, "big"):
            return parsed(wire)


async def over_channel(channel: Channel, message: dns.message.Message) -> dns.message.Message:
    """Send it on a TCP connection (RFC 7766) and read the answer; Failed(protocol) when that is another's."""
    wire = message.to_wire()
    # RFC 1035: over TCP each message has its length in two bytes before it.
    await channel.send(len(wire).to_bytes(2, "big") + wire)
    reader = Lines(channel)
    size = int.from_bytes(await reader.exactly(2), "big")
    answer = parsed(await reader.exactly(size))
    if answer.id != message.id:
        raise Failed(Reason.PROTOCOL, "the answer belongs to another query")
    return answer


def parsed(wire: bytes) -> dns.message.Message:
    """The message, each record by itself; Failed(protocol) when it is none. A truncated one is what it is."""
    try:
        # One record a set, so that they are counted and shown as they came.
        return dns.message.from_wire(wire, one_rr_per_rrset=True, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise Failed(Reason.PROTOCOL, f"the answer is not a DNS message: {error or type(error).__name__}") from error


def udp_socket(address: Address, source: str | None) -> socket.socket:
    """A connected socket: what others send does not arrive there."""
    sock = socket.socket(address.family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if source:
            sock.bind((source, 0))
        sock.connect(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def records(section: list[dns.rrset.RRset]) -> Iterator[str]:
    """Each record as a line of a zone file, with tabs between its parts: `example.com.	300	IN	A	192.0.2.1`."""
    for rrset in section:
        for rdata in rrset:
            kind, class_ = dns.rdatatype.to_text(rdata.rdtype), dns.rdataclass.to_text(rdata.rdclass)
            yield f"{rrset.name}\t{rrset.ttl}\t{class_}\t{kind}\t{rdata.to_text()}"


def additional(message: dns.message.Message) -> list[str]:
    """The additional section, the OPT record of EDNS included."""
    options = [f";; OPT PSEUDOSECTION: version {message.edns}; udp: {message.payload}"] if message.opt else []
    return [*records(message.additional), *options]
