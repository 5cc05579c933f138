"""A connection to Redis that goes where the probe's addresses say, made from a URL by the library."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploywatch.exporter.net.dial import Route, connect
from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.net.tls import certificates
from deploywatch.exporter.net.tls.client import TlsClient, context_for, last_good
from deploywatch.exporter.net.tls.handshake import BROKEN_OFF, seen_in, telling
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Reason
from deploywatch.secrets import SecretUrl

SILENT = "connect: the server took the connection and says nothing"
"""The stage of a server that accepts connections and does not answer, as one that is frozen."""


class _Routed(AbstractConnection):
    """A connection that goes only where its route says; `route` and `tls` are set before it is made."""

    route = Route()
    tls: TlsClient | None = None
    address: Address | None = None
    shown: certificates.Shown | None = None
    measurement: Measurement | None = None
    _connection_arguments: Callable[[], Mapping[str, Any]]

    async def _connect(self) -> None:
        arguments = dict(self._connection_arguments())
        host, port = arguments.pop("host"), int(arguments.pop("port"))
        sock, self.address = await connect(await self.route.addresses(host, port), source=self.route.source)
        if self.measurement:
            # As `port` tells them apart: from here on somebody listens, and perhaps says nothing.
            self.measurement.stage, self.measurement.overdue = SILENT, Reason.DEADLINE
        name = (self.tls.server_name if self.tls else None) or host
        if "ssl" in arguments:
            arguments["server_hostname"] = certificates.certificate_name(name)
        try:
            self._reader, self._writer = await asyncio.open_connection(sock=sock, **arguments)
        except BaseException as error:
            sock.close()
            if "ssl" in arguments and isinstance(error, BROKEN_OFF):
                self.shown, most = await seen_in(error, self.address, name)
                raise most from error
            raise
        secured = self._writer.get_extra_info("ssl_object")
        self.shown = certificates.shown(secured) if secured else None


class _Plain(_Routed, Connection):
    """A connection over TCP."""


class Encrypted(_Routed, SSLConnection):
    """A connection over TLS, with the context of `tls` or of the URL's parameters."""

    ssl_context: Any

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = super(SSLConnection, self)._connection_arguments()
        return {**arguments, "ssl": context_for(self.tls) if self.tls else self._of_the_url()}

    def _of_the_url(self) -> ssl.SSLContext:
        asked = self.ssl_context
        names = (asked.ca_certs, asked.certfile, asked.keyfile)
        key = tuple(str(getattr(asked, name)) for name in asked.__slots__ if name != "context")
        return telling(last_good(("redis", key), [Path(name) for name in names if name], asked.get))


# To tell its name and version, the library would look them up on the disk for each connection.
_UNNAMED: dict[str, None] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters
    else {"lib_name": None, "lib_version": None}
)
_CLASSES: dict[type, type] = {Connection: _Plain, SSLConnection: Encrypted}


def unconnected(url: SecretUrl, **more: Any) -> Any:
    """A connection that is yet to be made; the deadline of the run is its only timeout.

    With one of its own, the library would wait in a way that loses a cancellation now and then in Python 3.11.
    """
    arguments: dict[str, Any] = {**parse_url(url.get_secret_value()), **more}
    arguments |= {"socket_timeout": None, "socket_connect_timeout": None}
    arguments |= _UNNAMED
    make = arguments.pop("connection_class", Connection)
    return _CLASSES.get(make, make)(**arguments, protocol=2, retry=Retry(NoBackoff(), 0))
