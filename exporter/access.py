"""Where `/probe` may connect to: addresses that lead back to the machine or to a cloud's metadata are refused.

Addresses are judged, never spellings: whatever way a caller writes a host, it is looked at after resolution, and the
address that was looked at is the one that is used.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from deploywatch.config import Settings
from deploywatch.quantity import Duration

Address = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network


def _network(value: object) -> AnyNetwork:
    if isinstance(value, (IPv4Network, IPv6Network)):
        return value
    try:
        return ipaddress.ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8, 127.0.0.1 or fd00::/8: {error}") from error


Network = Annotated[
    AnyNetwork,
    BeforeValidator(_network),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "127.0.0.1"]}),
]

# Metadata and platform services of clouds that are in no range which is special by itself.
_METADATA = (
    "100.100.100.200",  # Alibaba Cloud
    "168.63.129.16",  # Azure
    "192.0.0.192",  # Oracle Cloud, classic
    "fd00:ec2::254",  # AWS
    "fd20:ce::254",  # Google Cloud
    "fd00:c1::a9fe:a9fe",  # Oracle Cloud
)
REFUSED: tuple[AnyNetwork, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, metadata of most clouds
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/128",
        "::1/128",
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, of old
        "ff00::/8",  # multicast
        *_METADATA,
    )
)
"""What is refused unless the config allows it."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.ip_network("::/96")
_TRANSLATED = ipaddress.ip_network("::ffff:0:0:0/96")


class AccessSettings(Settings):
    """What `/probe` may reach: `deny` wins over `allow`, which wins over what is refused by default.

    `timeout_offset` is left of the scraper's timeout for the way back.
    """

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    timeout_offset: Duration = timedelta(milliseconds=500)

    def allowed(self, address: Address) -> bool:
        """Whether `/probe` may connect to an address; an IPv4 address inside an IPv6 one counts as itself too."""
        return all(self._allowed(meaning) for meaning in meanings(address))

    def _allowed(self, address: Address) -> bool:
        if _within(address, self.deny):
            return False
        return _within(address, self.allow) or not _within(address, REFUSED)


def meanings(address: Address) -> tuple[Address, ...]:
    """The addresses that packets to this one may end up at: itself alone, or the IPv4 address that it carries."""
    if isinstance(address, IPv4Address):
        return (address,)
    plain = IPv6Address(int(address))  # without a zone
    if plain.ipv4_mapped:
        return (plain.ipv4_mapped,)
    low = IPv4Address(int(plain) & 0xFFFFFFFF)
    if plain in _NAT64 or plain in _NAT64_LOCAL or plain in _TRANSLATED:
        return (plain, low)
    if plain in _COMPATIBLE and int(plain) > 1:
        return (plain, low)
    carried = plain.sixtofour or (plain.teredo[1] if plain.teredo else None)
    return (plain, carried) if carried else (plain,)


def _within(address: Address, networks: tuple[AnyNetwork, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
