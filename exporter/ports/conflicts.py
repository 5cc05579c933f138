"""Which claims are at odds with each other and with the registry; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from deploywatch.exporter.ports.claims import HIGHEST, Claim, Range
from deploywatch.exporter.ports.kubernetes import NODE_PORTS


class Trouble(StrEnum):
    """What is wrong with a claim."""

    REGISTERED_TWICE = "registered_twice"
    CLAIMED_TWICE = "claimed_twice"
    TAKEN = "taken"
    UNREGISTERED = "unregistered"
    TOO_FEW = "too_few"


@dataclass(frozen=True, slots=True)
class Conflict:
    """One trouble: the claim to change, the ports in question, and what is in the way."""

    trouble: Trouble
    claim: Claim
    ports: Range
    message: str
    other: Claim | None = None
    suggestion: Range | None = None

    def __str__(self) -> str:
        free = f"; free: {self.suggestion}" if self.suggestion else ""
        return f"{self.claim.origin}: {self.message}{free}"


def conflicts(claims: Sequence[Claim], registry: Sequence[Claim], profiles: Iterable[str] = ()) -> list[Conflict]:
    """Every conflict, in the order of the files; services whose `profiles` are not chosen are left out, if any are.

    The registry is at odds with itself where two entries share a port; claims where two share one, where the registry
    gives the port to another service, or to none, and where a service has more instances than ports.
    """
    chosen = frozenset(profiles)
    wanted = [claim for claim in claims if not chosen or not claim.profiles or claim.profiles & chosen]
    met = [
        *_twice(registry, Trouble.REGISTERED_TWICE, "registered"),
        *_twice(wanted, Trouble.CLAIMED_TWICE, "claimed"),
        *_too_few(wanted),
        # Without a registry nothing is registered, and to say that of every port helps nobody.
        *(_unregistered(wanted, registry) if registry else ()),
    ]
    return sorted(met, key=lambda conflict: (conflict.claim.origin, conflict.ports))


def _twice(claims: Sequence[Claim], trouble: Trouble, verb: str) -> Iterator[Conflict]:
    for first, second in combinations(claims, 2):
        ports = first.meets(second)
        if ports is None:
            continue
        places = {first.environment, second.environment}
        where = f"in {first.environment}" if len(places) == 1 else f"on {first.machine}"
        message = (
            f"{ports}/{second.protocol} is {verb} twice {where}: "
            f"for {second.service}, and for {first.service} at {first.origin}"
        )
        # Said and not left out: nothing keeps two profiles from being started together.
        if first.profiles and second.profiles and not first.profiles & second.profiles:
            remedy = f"check with --profile {min(first.profiles)}"
            message += f" (their profiles differ: if they never run together, {remedy})"
        yield Conflict(trouble, second, ports, message, first)


def _too_few(claims: Iterable[Claim]) -> Iterator[Conflict]:
    for claim in claims:
        if claim.count > len(claim.ports):
            wants = f"{claim.service} wants {claim.count} ports of {claim.ports}/{claim.protocol}"
            message = f"{wants}, which has {len(claim.ports)}; give it a range, or fewer instances"
            yield Conflict(Trouble.TOO_FEW, claim, claim.ports, message)


def _unregistered(claims: Iterable[Claim], registry: Sequence[Claim]) -> Iterator[Conflict]:
    for claim in claims:
        entries = [entry for entry in registry if entry.meets(claim)]
        # By all of its names: the registry may know a container by its container_name.
        others = [entry for entry in entries if entry.service not in claim.names]
        for entry in others:
            ports = entry.ports.common(claim.ports)
            if ports is not None:
                wants = f"{claim.service} wants {ports}/{claim.protocol} in {claim.environment}"
                message = f"{wants}, which {entry.origin} registers for {entry.service}"
                yield Conflict(Trouble.TAKEN, claim, ports, message, entry)
        for ports in _missing(claim.ports, [entry.ports for entry in entries]):
            message = f"{claim.service} wants {ports}/{claim.protocol} in {claim.environment}, which is not registered"
            own = [
                entry.ports
                for entry in registry
                if entry.service in claim.names and entry.environment == claim.environment
            ]
            known = f"; registered for it: {', '.join(str(each) for each in own)}" if own else "; register it"
            yield Conflict(Trouble.UNREGISTERED, claim, ports, message + known)


def _missing(wanted: Range, given: Iterable[Range]) -> Iterator[Range]:
    """What of a range none of the others holds."""
    start = wanted.start
    for each in sorted(given):
        if each.start > start:
            yield Range(start, min(each.start - 1, wanted.end))
        start = max(start, each.end + 1)
        if start > wanted.end:
            return
    yield Range(start, wanted.end)


def suggestion(conflict: Conflict, everything: Iterable[Claim]) -> Range | None:
    """The nearest free ports that the claim could have instead, above it first; None if there are none.

    What the registry already gives to the service comes first, unless it is the registry itself that is to be changed.
    A nodePort stays in the cluster's range.
    """
    claim, everything = conflict.claim, list(everything)
    length = max(len(conflict.ports), claim.count if conflict.trouble is Trouble.TOO_FEW else 1)
    mine = [entry.ports for entry in everything if _is_given_to(entry, claim)]
    taken = [
        other
        for other in everything
        if other.kind != "registry" or claim.kind == "registry" or other.service not in claim.names
    ]
    whole = _allowed(claim)
    above = Range(min(max(conflict.ports.end + 1, whole.start), whole.end), whole.end)
    free = (_free(claim, within, length, taken) for within in (*mine, above, whole))
    return next((ports for ports in free if ports is not None), None)


def _allowed(claim: Claim) -> Range:
    node = claim.kind == "kubernetes" and NODE_PORTS.holds(claim.ports)
    # Below 1024 a process needs privileges on most systems.
    return NODE_PORTS if node else Range(1024, HIGHEST)


def _is_given_to(entry: Claim, claim: Claim) -> bool:
    """Whether the registry gives an entry's ports to the service of a claim that stands elsewhere."""
    if entry.kind != "registry" or claim.kind == "registry":
        return False
    return entry.service in claim.names and entry.environment == claim.environment


def _free(claim: Claim, within: Range, length: int, taken: Sequence[Claim]) -> Range | None:
    blocked = sorted(
        common for other in taken if other is not claim for common in [_like(claim, within).meets(other)] if common
    )
    start = within.start
    for each in blocked:
        if each.start - start >= length:
            break
        start = max(start, each.end + 1)
    return Range(start, start + length - 1) if start + length - 1 <= within.end else None


def _like(claim: Claim, ports: Range) -> Claim:
    return Claim(
        claim.service,
        claim.environment,
        ports,
        claim.protocol,
        claim.origin,
        claim.kind,
        machine=claim.machine,
        address=claim.address,
    )
