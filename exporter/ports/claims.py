"""A claim: a service wants ports of a protocol at an address, and a file says so."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import NamedTuple

PROTOCOLS = ("tcp", "udp", "sctp")
# The highest port that TCP and UDP have.
HIGHEST = 65_535

_EVERYWHERE = frozenset({"", "*", "0.0.0.0", "::"})  # noqa: S104 # nosec B104 - read in files, never bound
_RANGE = re.compile(r"(?P<start>\d{1,6})(?:-(?P<end>\d{1,6}))?")


class Origin(NamedTuple):
    """Where a claim is written: a file, with line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Range(NamedTuple):
    """Ports from `start` to `end`, both included."""

    start: int
    end: int

    def __str__(self) -> str:
        return str(self.start) if self.start == self.end else f"{self.start}-{self.end}"

    def __len__(self) -> int:
        return self.end - self.start + 1

    def common(self, other: Range) -> Range | None:
        """The ports that both have, if there are any."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Range(start, end) if start <= end else None

    def holds(self, other: Range) -> bool:
        """Whether all ports of the other are among these."""
        return self.start <= other.start and other.end <= self.end


def parse_range(text: str) -> Range:
    """Read `8080` or `8080-8090`; ValueError says what is wrong."""
    match = _RANGE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a port; write a number, such as 8080, or a range, such as 8080-8090")
    start = int(match["start"])
    return checked(Range(start, int(match["end"] or start)))


def checked(ports: Range) -> Range:
    """The range, if it is one; ValueError says what is wrong."""
    if ports.start > ports.end:
        raise ValueError(f"the range {ports} ends before it begins")
    if not 1 <= ports.start <= ports.end <= HIGHEST:
        raise ValueError(f"{ports} is not a port; ports are 1 to {HIGHEST}")
    return ports


def address_of(host: str) -> str:
    """One spelling of an address that is bound: empty for all addresses, `localhost` as its number; ValueError if none.

    A wildcard of either family counts as all addresses: servers that bind `::` answer IPv4 too on most systems.
    """
    bare = host.strip().removeprefix("[").removesuffix("]").lower()
    if bare in _EVERYWHERE:
        return ""
    if bare == "localhost":
        return "127.0.0.1"
    address = ipaddress.ip_address(bare)
    # `::ffff:10.0.0.1` binds the IPv4 address; two spellings of one address must meet.
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@dataclass(frozen=True, slots=True)
class Claim:
    """A service wants ports.

    `machine` is empty where the ports may be on any machine of the environment, `address` where they are on all
    addresses of it. `aliases` are further names by which the registry may know the service. `count` is how many ports
    of the range are wanted. `kind` is what makes the claim: `registry`, `compose`, `kubernetes` or `systemd`.
    """

    service: str
    environment: str
    ports: Range
    protocol: str
    origin: Origin
    kind: str
    machine: str = ""
    address: str = ""
    aliases: frozenset[str] = frozenset()
    description: str = ""
    profiles: frozenset[str] = frozenset()
    count: int = 1
    marks: dict[str, object] = field(default_factory=dict, hash=False, compare=False)

    def __str__(self) -> str:
        where = f"{self.address} on {self.machine}" if self.address and self.machine else self.address or self.machine
        return f"{self.service} {self.ports}/{self.protocol}" + (f" ({where})" if where else "")

    @property
    def names(self) -> frozenset[str]:
        """All names of the service."""
        return self.aliases | {self.service}

    def meets(self, other: Claim) -> Range | None:
        """The ports that only one of the two can have, if there are any.

        Two environments share a machine only where both claims name it.
        """
        same_place = self.environment == other.environment and (
            not self.machine or not other.machine or self.machine == other.machine
        )
        if not same_place and not (self.machine and self.machine == other.machine):
            return None
        if self.protocol != other.protocol:
            return None
        if self.address and other.address and self.address != other.address:
            return None
        return self.ports.common(other.ports)
