"""What a service of a compose file publishes, in compose's short form and its long one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from deploywatch.exporter.ports.claims import PROTOCOLS, Range, address_of, checked, parse_range


class Published(NamedTuple):
    """Ports of a container that are published on the host; `ports` is None where the host chooses one."""

    ports: Range | None
    target: Range
    protocol: str
    address: str


def short_form(text: str) -> Published:
    """Read `[[host address:]host ports:]container ports[/protocol]`; ValueError says what is wrong.

    Source: the compose specification, ports, short syntax.
    """
    rest, _, protocol = text.strip().partition("/")
    before, _, target = rest.rpartition(":")
    # `[::1]:` with no port of the host ends in a bracket, and its colons are the address's.
    address, _, published = before.rpartition(":") if not before.endswith("]") else (before, ":", "")
    container = parse_range(target)
    host = parse_range(published) if published else None
    if host is not None and len(container) > 1 and len(host) != len(container):
        raise ValueError(f"{text!r} maps {len(host)} ports to {len(container)}; the two ranges must be of one length")
    return Published(host, container, _protocol(protocol), _address(address))


def long_form(item: Mapping[str, str]) -> Published:
    """Read a mapping with `target`, and maybe `published`, `host_ip` and `protocol`; ValueError says what is wrong."""
    if "target" not in item:
        raise ValueError("target is required; write target: 80, the port in the container")
    published = item.get("published", "")
    return Published(
        # 0 means any free port, which nobody can review.
        parse_range(published) if published and published != "0" else None,
        checked(parse_range(item["target"])),
        _protocol(item.get("protocol", "")),
        _address(item.get("host_ip", "")),
    )


def _protocol(text: str) -> str:
    protocol = text.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {text!r}; write tcp, udp or sctp")
    return protocol


def _address(text: str) -> str:
    try:
        return address_of(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address of this host; write such as 127.0.0.1:8080:80") from error
