"""The `port` probe: whether each port of a registry is answered by the service that it is registered for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from deploywatch.exporter.measure import families
from deploywatch.exporter.net.connect import AddressField, Place, place
from deploywatch.exporter.net.fingerprint import Marks, listens
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Reason
from deploywatch.quantity import Duration, parse_duration

# Ports are of one machine, which may count many connections at once as an attack.
_AT_ONCE = 20
EACH = parse_duration("2s")
"""How long a look at one port may take, unless the config says otherwise; the layer bounds all of them together."""


class State(StrEnum):
    """What a port is."""

    EXPECTED = "expected"
    FREE = "free"
    OTHER = "other"
    SILENT = "silent"
    UNREACHABLE = "unreachable"


_REASONS = {
    State.EXPECTED: Reason.OCCUPIED,
    State.FREE: Reason.CONNECT_REFUSED,
    State.OTHER: Reason.OCCUPIED,
    State.SILENT: Reason.DEADLINE,
    State.UNREACHABLE: Reason.UNREACHABLE,
}


class Entry(Marks):
    """A port of the registry, and how its service is known; `listens`: whoever it is; or one that must be free."""

    address: AddressField
    free: bool = False
    listens: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        marks = (self.http is not None) + (self.speaks is not None) + (self.banner is not None)
        if marks + self.free + self.listens != 1:
            ways = "by one of http, speaks and banner; or listens: true, or free: true"
            raise ValueError(f"say how the service is known, {ways}")
        return self

    @property
    def wanted(self) -> State:
        """What the port has to be."""
        return State.FREE if self.free else State.EXPECTED


def _without_conflict(registry: dict[str, Entry]) -> dict[str, Entry]:
    owners: dict[str, str] = {}
    for name, entry in registry.items():
        owner = owners.setdefault(entry.address.lower(), name)
        if owner != name:
            raise ValueError(f"{owner} and {name} are both registered for {entry.address}; change one")
    return registry


PortName = Annotated[str, Field(min_length=1, max_length=100)]
Registry = Annotated[dict[PortName, Entry], Field(max_length=500), AfterValidator(_without_conflict)]
"""The config's `ports`: name → where, and how its service is known."""


class PortSettings(ProbeSettings):
    """Which ports of the registry are looked at, all of them unless `ports` names some."""

    target_key: ClassVar[TargetKey | None] = None

    kind: Literal["port"]
    ports: tuple[PortName, ...] | None = Field(default=None, min_length=1)
    timeout: Duration | None = None
    _registry: Mapping[str, Entry] = PrivateAttr(default_factory=dict)

    def of(self, registry: Mapping[str, Entry]) -> Self:
        """The same settings, with the registry that they are about."""
        settings = self.model_copy()
        settings._registry = dict(registry)
        return settings

    def probe(self) -> PortProbe:
        """The probe that does what these settings say."""
        each = self.timeout or EACH
        return PortProbe(self._registry, self.ports or tuple(self._registry), each.total_seconds())

    def shown_target(self) -> str:
        """The ports of the registry that are looked at."""
        return ", ".join(self.ports or self._registry)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of an entry: its state, and the name of the entry whose service answers there instead."""

    state: State
    by: str = ""


class PortProbe:
    """Looks at ports, and knows the services of the whole registry."""

    def __init__(self, registry: Mapping[str, Entry], names: Sequence[str], timeout: float) -> None:
        self.registry = registry
        self.names = names
        self.timeout = timeout
        self.slots = asyncio.Semaphore(_AT_ONCE)

    async def measure(self, measurement: Measurement) -> None:
        """Look at the ports, some at once; Failed names each that is not what it has to be."""
        with measurement.timed("ports"):
            seen = await asyncio.gather(*(self._look(name, measurement) for name in self.names))
        _judge(self.registry, dict(zip(self.names, seen, strict=True)))

    async def _look(self, name: str, measurement: Measurement) -> Seen:
        async with self.slots:
            seen = await self._identify(name, measurement)
        for state in State:
            measurement.add(families.PORT_STATE, seen.state is state, entry=name, state=str(state))
        if seen.by:
            measurement.add(families.PORT_OCCUPIED, 1, entry=name, by=seen.by)
        return seen

    async def _identify(self, name: str, measurement: Measurement) -> Seen:
        entry = self.registry[name]
        state = await self._state(entry, entry, measurement)
        if state not in {State.OTHER, State.SILENT}:
            return Seen(state)
        # Each other way to know a service is tried once: whoever's it is, it answers in one of them or none.
        tried: set[str] = set()
        for other, marks in self.registry.items():
            way = marks.model_dump_json(include={"http", "speaks", "banner"})
            if other == name or marks.free or marks.listens or way in tried:
                continue
            tried.add(way)
            if await self._state(entry, marks, measurement) is State.EXPECTED:
                return Seen(State.OTHER, other)
        return Seen(state)

    async def _state(self, entry: Entry, marks: Entry, measurement: Measurement) -> State:
        """What the port of an entry is, by the marks of an entry."""
        at, limit = place(entry.address), self.timeout
        try:
            async with asyncio.timeout(limit):
                if marks.free:
                    await listens(at, measurement)
                    return State.OTHER
                if marks.listens:
                    await listens(at, measurement)
                    return State.EXPECTED
                return State.EXPECTED if await marks.fit(at, measurement) else State.OTHER
        except ConnectionRefusedError:
            return State.FREE
        except TimeoutError:
            return await self._silent(at, measurement)
        except (ConnectionError, ssl.SSLError):
            return State.OTHER
        except (OSError, Failed):
            return State.UNREACHABLE

    async def _silent(self, at: Place, measurement: Measurement) -> State:
        """Whether a port that did not answer in time can be connected to at all."""
        try:
            async with asyncio.timeout(self.timeout):
                await listens(at, measurement)
        except (OSError, Failed):
            return State.UNREACHABLE
        return State.SILENT


def _judge(registry: Mapping[str, Entry], seen: Mapping[str, Seen]) -> None:
    bad = {name: port for name, port in seen.items() if port.state is not registry[name].wanted}
    if not bad:
        return
    sentences = [
        f"{name} at {registry[name].address}: {port.state}" + (f" ({port.by} answers)" if port.by else "")
        for name, port in bad.items()
    ]
    raise Failed(_REASONS[next(iter(bad.values())).state], "; ".join(sentences))
