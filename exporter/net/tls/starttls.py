"""What has to be said in a protocol before TLS can begin on its connection."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Literal

from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.lines import Lines
from deploywatch.exporter.net.tls.handshake import Begin
from deploywatch.exporter.results import Failed, Reason

Protocol = Literal["smtp", "imap", "pop3", "ftp", "postgres", "ldap"]

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
# Of a line that is no help, so much is told.
_SHOWN = 80
# RFC 5321 and RFC 959: transient; RFC 3206 and RFC 2449 of POP3.
_PASSING = (b"4", b"-ERR [SYS/TEMP]", b"-ERR [IN-USE]", b"-ERR [LOGIN-DELAY]")
_LDAP_OID = b"1.3.6.1.4.1.1466.20037"
_LDAP_REQUEST = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + _LDAP_OID


def beginning(protocol: Protocol | None) -> Begin | None:
    """What is said before TLS, of a protocol that says something."""
    return partial(start_tls, protocol=protocol) if protocol else None


async def start_tls(channel: Channel, protocol: Protocol) -> None:
    """Ask the server for TLS; Failed(protocol) when it does not speak the protocol or does not offer TLS.

    Failed(unavailable) with its words when it greets us by turning us away.
    """
    lines = Lines(channel)
    await _DIALOGUES[protocol](lines)
    if lines.left:
        # What came before TLS cannot be believed.
        raise Failed(Reason.PROTOCOL, "the server said more before TLS began than it should")


async def _smtp(lines: Lines) -> None:
    await _greeted(lines, (b"4", b"5"))
    await _reply(lines, b"220")
    await lines.channel.send(b"EHLO deploywatch.invalid\r\n")
    await _reply(lines, b"250")
    await lines.channel.send(b"STARTTLS\r\n")
    await _reply(lines, b"220")


async def _ftp(lines: Lines) -> None:
    await _greeted(lines, (b"4", b"5"))
    line = await _line(lines)
    lines.back(line)
    if line.startswith(b"120"):
        # RFC 959: ready in some minutes; the greeting follows.
        await _ftp_reply(lines, b"120")
    await _ftp_reply(lines, b"220")
    await lines.channel.send(b"AUTH TLS\r\n")
    await _ftp_reply(lines, b"234")


async def _imap(lines: Lines) -> None:
    await _greeted(lines, (b"* BYE",))
    await _begins(lines, b"* OK")
    await lines.channel.send(b"a1 STARTTLS\r\n")
    while not (line := await _line(lines)).startswith(b"a1 "):
        if line.upper().startswith(b"* BYE"):
            raise _turned_away(line)
    if not line.upper().startswith(b"A1 OK"):
        raise _refused(line)


async def _pop3(lines: Lines) -> None:
    await _greeted(lines, (b"-ERR",))
    await _begins(lines, b"+OK")
    await lines.channel.send(b"STLS\r\n")
    await _begins(lines, b"+OK")


async def _postgres(lines: Lines) -> None:
    await lines.channel.send(_SSL_REQUEST)
    answer = await lines.exactly(1)
    if answer != b"S":
        raise _refused(answer)


async def _ldap(lines: Lines) -> None:
    await lines.channel.send(_LDAP_REQUEST)
    tag, size = await lines.exactly(2)
    if tag != 0x30:
        raise Failed(Reason.PROTOCOL, "the answer is not LDAP")
    if size & 0x80:
        size = int.from_bytes(await lines.exactly(size & 0x7F), "big")
    answer = await lines.exactly(min(size, 4096))
    # An extended response (tag 0x78) that begins with the result code success (0).
    response = answer.partition(b"\x78")[2]
    if not response[1:].startswith(b"\x0a\x01\x00") and not response[2:].startswith(b"\x0a\x01\x00"):
        raise _refused(b"the server refuses the extended operation")


async def _greeted(lines: Lines, turned_away: tuple[bytes, ...]) -> None:
    """Look at the greeting, which stays to be read; Failed(unavailable) for one that begins as those who refuse do."""
    line = await _line(lines)
    if line.upper().startswith(turned_away):
        raise _turned_away(line)
    lines.back(line)


async def _reply(lines: Lines, code: bytes) -> None:
    """Read an answer of one or more lines, as SMTP and FTP have them, that must have this code."""
    while True:
        line = await _line(lines)
        if not line.startswith(code):
            raise _not_now(line)
        if line[3:4] != b"-":
            return


async def _ftp_reply(lines: Lines, code: bytes) -> None:
    """Read an answer as RFC 959 has it: after `220-` anything may stand in the lines until one begins with `220 `."""
    line = await _line(lines)
    if not line.startswith(code):
        raise _not_now(line)
    if line[3:4] == b"-":
        # Some end with the code alone, without the space and a text.
        while (line := await _line(lines)) != code and not line.startswith(code + b" "):
            pass


async def _begins(lines: Lines, start: bytes) -> None:
    line = await _line(lines)
    if not line.upper().startswith(start):
        raise _not_now(line)


async def _line(lines: Lines) -> bytes:
    line = await lines.next()
    if line is None:
        raise Failed(Reason.RESET, "the connection was closed before TLS could begin")
    return line


def _turned_away(answer: bytes) -> Failed:
    return Failed(
        Reason.UNAVAILABLE, f"the server takes no connection now: {answer[:_SHOWN].decode('utf-8', 'replace')}"
    )


def _not_now(answer: bytes) -> Failed:
    """The Failed of an answer that may be a passing trouble: SMTP's and FTP's 4yz, POP3's SYS/TEMP and IN-USE."""
    return _turned_away(answer) if answer.startswith(_PASSING) else _refused(answer)


def _refused(answer: bytes) -> Failed:
    return Failed(Reason.PROTOCOL, f"no TLS is offered: {answer[:_SHOWN].decode('utf-8', 'replace')}")


_DIALOGUES: Mapping[Protocol, Callable[[Lines], Awaitable[None]]] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "ftp": _ftp,
    "postgres": _postgres,
    "ldap": _ldap,
}
