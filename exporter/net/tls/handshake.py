"""TLS begun with a server; what it shows is told whether the handshake succeeds or not, so that expiry is seen."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from typing import Any

from deploywatch.exporter.net.channel import Channel, Tunnel
from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.net.tls.certificates import UNKNOWN, Shown, certificate_name, shown
from deploywatch.exporter.results import Failed, Reason

Begin = Callable[[Channel], Awaitable[None]]
"""What a protocol says on a connection before TLS can begin on it."""

_PATIENCE = 2.0
"""Seconds for the second look; the run's own deadline comes first where it is shorter."""

_HUNG_UP = "UNEXPECTED_EOF_WHILE_READING"
_NOT_OFFERED = frozenset(
    {
        *("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE", "WRONG_SSL_VERSION"),
        *("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_INSUFFICIENT_SECURITY", "NO_SHARED_CIPHER"),
        *("DH_KEY_TOO_SMALL", "WRONG_SIGNATURE_TYPE", "UNSAFE_LEGACY_RENEGOTIATION_DISABLED"),
        # Many hang up without an alert.
        _HUNG_UP,
    }
)
"""OpenSSL's reasons where client and server may share no version, cipher or strength."""


class TellingObject(ssl.SSLObject):
    """A TLS connection; the error that ends its handshake bears what the server showed, whichever library it is in."""

    def do_handshake(self) -> None:
        """As OpenSSL does it."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            seen = shown(self, error)
            _set(error, shown=seen)
            if seen.problem == "no_san":
                names_none = "it bears a common name and no subjectAltName, which browsers do not take for its name"
                _set(error, verify_message=names_none)
            raise


def telling(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context: its errors tell what the server showed, and a name stands in subjectAltName or nowhere."""
    context.sslobject_class = TellingObject
    context.hostname_checks_common_name = False
    return context


def shown_by(error: BaseException | None) -> Shown | None:
    """What the server showed in the handshake that an error, or one of its causes, has ended."""
    certificates = (getattr(cause, "shown", None) for cause in _causes(error))
    return next((seen for seen in certificates if isinstance(seen, Shown)), None)


async def secure(
    channel: Channel,
    context: ssl.SSLContext,
    name: str,
    tell: Callable[[Shown], None],
    begin: Begin | None = None,
    *,
    asks: bool = False,
) -> None:
    """Begin TLS with the server `name`; what it shows is told whether the handshake succeeds or not.

    Where the server refuses what we offer, it is looked at once more with whatever it takes: its certificate is told,
    and Failed(tls) says what it speaks. `begin` is said before TLS then. Who `asks` next spares a packet of its own.
    """
    # Asked now: afterwards the server may be gone. Within another TLS connection there is no second look.
    server = None if isinstance(channel, Tunnel) else _peer(channel.sock)
    try:
        tls = await channel.secure(context, certificate_name(name), asks=asks)
    except BROKEN_OFF as error:
        seen, most = await seen_in(error, server, name, begin)
        if seen:
            tell(seen)
        raise most from error
    tell(shown(tls))


BROKEN_OFF = (ssl.SSLError, ConnectionError)
"""What ends a handshake; asyncio makes a ConnectionResetError of a server that hangs up without an alert."""


async def seen_in(
    error: ssl.SSLError | ConnectionError, server: Address | None, name: str, begin: Begin | None = None
) -> tuple[Shown | None, Exception]:
    """What the server of a failed handshake showed, at a second look if need be; and the error that says most."""
    seen = shown_by(error)
    problem = error.reason if isinstance(error, ssl.SSLError) else _HUNG_UP
    if server is None or (seen and seen.served) or problem not in _NOT_OFFERED:
        return seen, error
    again = await _second_look(server, name, begin)
    if again is None:
        return seen, error
    if again.version == UNKNOWN:
        # It took hello and hung up all the same, as a server that wants a certificate of ours: no version is to blame.
        return again, error
    speaks = f"{again.version} with {again.cipher}" if again.cipher else again.version
    return again, Failed(
        Reason.TLS,
        f"no TLS connection: {problem}; the server speaks {speaks}: see tls.min_version and tls.ciphers",
    )


def _peer(sock: socket.socket) -> Address | None:
    """The server of a connection; None when it is gone."""
    try:
        return Address(sock.family, sock.getpeername())
    except OSError:
        return None


async def _second_look(server: Address, name: str, begin: Begin | None) -> Shown | None:
    """What the same server shows to a client that takes any version and cipher; None when it shows nothing to it."""
    try:
        async with asyncio.timeout(_PATIENCE):
            with socket.socket(server.family, socket.SOCK_STREAM) as another:
                another.setblocking(False)
                await asyncio.get_running_loop().sock_connect(another, server.sockaddr)
                channel = Channel(another)
                if begin:
                    await begin(channel)
                return shown(await channel.secure(_undemanding(), certificate_name(name)))
    except ssl.SSLError as error:
        seen = shown_by(error)
        return seen if seen and seen.served else None
    except (OSError, Failed):
        return None


@lru_cache(maxsize=1)
def _undemanding() -> ssl.SSLContext:
    """A context that looks and trusts nobody: nothing is ever sent over it."""
    context = telling(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options |= 0x4  # SSL_OP_LEGACY_SERVER_CONNECT, which Python names since 3.12
    return context


def _set(error: Exception, **attributes: Any) -> None:
    for name, value in attributes.items():
        setattr(error, name, value)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
