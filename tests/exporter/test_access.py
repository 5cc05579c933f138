"""Where /probe may connect to, whatever way an address is written."""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.exporter.access import REFUSED, AccessSettings, meanings

DEFAULT = AccessSettings()
REFUSED_V4 = [network for network in REFUSED if network.version == 4]


def within(address: IPv4Address) -> bool:
    return any(address in network for network in REFUSED_V4)


V4 = st.ip_addresses(v=4) | st.sampled_from(["127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8"]).flatmap(
    lambda network: st.ip_addresses(network=network)
)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "169.254.169.254", "100.100.100.200", "168.63.129.16"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254"),
        *("::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("64:ff9b:1::7f00:1", "::ffff:0:127.0.0.1", "2002:7f00:1::", "2001:0:1:2:3:4:80ff:fffe"),
    ],
)
def test_what_leads_back_to_the_machine_or_to_metadata_is_refused(address: str) -> None:
    assert not DEFAULT.allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.168.0.1", "203.0.113.5", "fd12::1", "2001:db8::1", "::ffff:10.0.0.1"]
)
def test_other_addresses_are_allowed(address: str) -> None:
    assert DEFAULT.allowed(ipaddress.ip_address(address))


@given(V4)
def test_an_ipv4_address_counts_the_same_in_every_ipv6_form(address: IPv4Address) -> None:
    number = int(address)
    forms = [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x64FF9B0001 << 80) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
        IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)),
    ]
    for form in forms:
        assert DEFAULT.allowed(form) is not within(address), form


@given(V4)
def test_an_address_counts_the_same_however_it_is_spelled(address: IPv4Address) -> None:
    """Hex, octal, decimal and short forms are all resolved before they are looked at."""
    number, parts = int(address), address.packed
    spellings = [
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(hex(part) for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        f"{parts[0]}.{int.from_bytes(parts[1:], 'big')}",
        f"{parts[0]}.{parts[1]}.{int.from_bytes(parts[2:], 'big')}",
    ]
    for spelling in spellings:
        found = socket.getaddrinfo(spelling, 80, family=socket.AF_INET, type=socket.SOCK_STREAM)
        resolved = ipaddress.ip_address(found[0][4][0])
        assert resolved == address
        assert DEFAULT.allowed(resolved) is not within(address)


@given(st.ip_addresses(), st.sampled_from(["10.0.0.0/8", "127.0.0.0/8", "::/0", "0.0.0.0/0", "::1", "fe80::/10"]))
def test_deny_wins_over_allow_and_allow_over_the_default(address: IPv4Address | IPv6Address, network: str) -> None:
    both = AccessSettings.model_validate({"allow": [network], "deny": [network]})
    allowing = AccessSettings.model_validate({"allow": [network]})
    inside = [one in ipaddress.ip_network(network) for one in meanings(address)]
    assert not (any(inside) and both.allowed(address))
    if all(inside):
        assert allowing.allowed(address)
    if not any(inside):
        assert allowing.allowed(address) is DEFAULT.allowed(address)
