"""Open a connection to `host:port` and secure it; what that shows and how long it takes is noted."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator

from deploywatch.config import Settings
from deploywatch.exporter.measure import families
from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.dial import Route, connect
from deploywatch.exporter.net.resolve import note_address
from deploywatch.exporter.net.tls import certificates
from deploywatch.exporter.net.tls.client import TlsClient, context_for
from deploywatch.exporter.net.tls.handshake import Begin, secure
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Reason


class Place(NamedTuple):
    """A host and its port."""

    host: str
    port: int


def place(address: str) -> Place:
    """Read `host:port` or `[::1]:443`; ValueError for anything else."""
    try:
        parts = urlsplit(f"//{address}")
        if (
            len(address.split()) == 1
            and parts.hostname
            and parts.port
            # urlsplit takes a path, a query or a fragment for parts of the address's text.
            and parts.netloc == address
            and parts.username is None
        ):
            return Place(parts.hostname, parts.port)
    except ValueError:
        # A port that is no number, or brackets that do not close.
        pass
    raise ValueError(f"{address!r} is not an address; write host:port, such as shop.example:443 or [::1]:443")


def _address(text: str) -> str:
    place(text)
    return text


AddressField = Annotated[str, AfterValidator(_address)]
"""A config field that holds `host:port`."""


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error


IpAddress = Annotated[str, AfterValidator(_ip)]
"""A config field that holds an IP address."""


class Reach(Settings):
    """Which address of a name to connect to."""

    preferred_ip_protocol: Literal["ip4", "ip6"] | None = None
    ip_protocol_fallback: bool = True
    source_ip_address: IpAddress | None = None

    def route(self, measurement: Measurement) -> Route:
        """The route, over addresses that the run is allowed to use."""
        preferred = int(self.preferred_ip_protocol[-1]) if self.preferred_ip_protocol else None
        return Route(preferred, self.ip_protocol_fallback, measurement.allowed, self.source_ip_address)


async def open_channel(to: Place, route: Route, measurement: Measurement) -> Channel:
    """Resolve and connect."""
    with measurement.timed("resolve", overdue=Reason.DNS) as passed:
        addresses = await route.addresses(*to)
    measurement.add(families.DNS_LOOKUP, passed())
    measurement.add(families.TCP_DURATION, passed(), phase="resolve")
    reached = addresses[0]
    try:
        with measurement.timed("connect", overdue=Reason.CONNECT_TIMEOUT) as passed:
            sock, reached = await connect(addresses, source=route.source)
    finally:
        note_address(reached, measurement)
    measurement.add(families.TCP_DURATION, passed(), phase="connect")
    return Channel(sock)


async def encrypt(
    channel: Channel, tls: TlsClient, host: str, measurement: Measurement, begin: Begin | None = None
) -> certificates.Shown:
    """Begin TLS; what the server shows is noted also when it is not trusted. `begin` is what was said before."""
    seen: list[certificates.Shown] = []
    with measurement.timed("tls") as passed:
        try:
            await secure(channel, context_for(tls), tls.server_name or host, seen.append, begin)
        finally:
            # Also of a handshake that failed: when a certificate has expired is what people look for then.
            for shown in seen:
                certificates.note(shown, measurement)
    measurement.add(families.TCP_DURATION, passed(), phase="tls")
    return seen[0]
