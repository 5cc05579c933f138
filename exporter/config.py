"""The exporter's config: services with their probes, the layers they run in, and how much may run at once."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from deploywatch import config
from deploywatch.config import Settings
from deploywatch.errors import ConfigError
from deploywatch.exporter.access import AccessSettings
from deploywatch.exporter.probes import AnyProbe
from deploywatch.exporter.probes.port import Registry
from deploywatch.exporter.settings import port_registry
from deploywatch.exporter.settings.blackbox import is_literal
from deploywatch.exporter.settings.discovery import Discovery
from deploywatch.exporter.settings.faults import faults
from deploywatch.exporter.settings.layers import LAYERS, Layer
from deploywatch.exporter.settings.modules import Module
from deploywatch.exporter.settings.per_server import PerServer
from deploywatch.exporter.settings.port_registry import PortRegistry
from deploywatch.exporter.settings.refusal import Refusals, take_out, told
from deploywatch.exporter.settings.selection import LEVELS, SMOKE, Selection
from deploywatch.files import yaml_reader
from deploywatch.files.document import Document
from deploywatch.files.document import Path as KeyPath

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


CONCURRENCY = 2000
"""Runs at once, unless the config says otherwise.

A target has one run at most, so this is no politeness; it keeps descriptors (one each) and memory (some 30 kB each) in
bounds when a whole network hangs. It has to hold all targets that may hang together: at 5,000 targets every 15 s with a
timeout of 10 s, 5 % of them hanging hold 250 slots, and one half is there for them.
"""


class ServiceKey(NamedTuple):
    """A service in an environment."""

    service: str
    environment: str


Name = Annotated[str, Field(min_length=1, max_length=200)]


class Service(Settings):
    """A service in one environment; `service` names it where its key is taken by another environment's."""

    service: Name | None = None
    environment: Name | None = None
    depends_on: tuple[Name, ...] = ()
    probes: dict[Name, AnyProbe]

    @field_validator("probes")
    @classmethod
    def _some(cls, probes: dict[str, AnyProbe]) -> dict[str, AnyProbe]:
        if not probes:
            raise ValueError("is empty; give the service a probe, such as health: {kind: http, url: ...}")
        return probes


def _increasing(buckets: tuple[float, ...]) -> tuple[float, ...]:
    if not all(math.isfinite(bound) and bound > 0 for bound in buckets):
        raise ValueError("buckets are numbers of seconds above 0; +Inf is added")
    if list(buckets) != sorted(set(buckets)):
        raise ValueError("buckets must increase")
    return buckets


class ExporterSettings(Settings):
    """The whole file."""

    environment: Name = "default"
    """Where services run, unless they say otherwise."""
    layers: dict[Name, Layer] = Field(default_factory=dict)
    """How often probes run, by the layer's name; `immediate`, `comprehensive` and `business` are there anyway."""
    concurrency: int = Field(default=CONCURRENCY, ge=1, le=100_000)
    """How many probes run at once."""
    per_server: PerServer = PerServer()
    """How many probes run at once at one address."""
    buckets: Annotated[tuple[float, ...], AfterValidator(_increasing)] = Field(default=BUCKETS, max_length=50)
    """The bounds of the latency histogram, in seconds."""
    services: dict[Name, Service] = Field(default_factory=dict)
    """What is probed, by name."""
    ports: Registry = Field(default_factory=dict)
    """Which service has to answer on which port."""
    port_registry: PortRegistry | None = None
    """The registry of ports that is taken into `ports`."""
    modules: dict[Name, Module] = Field(default_factory=dict)
    """Probes without a target, for `/probe` and for `discover`."""
    discover: tuple[Discovery, ...] = ()
    """Files that targets are read from."""
    probe: AccessSettings = AccessSettings()
    """Where `/probe` may connect to."""
    levels: dict[Name, Selection] = Field(default_factory=dict)
    """Which probes a check of a level runs, beside `basic`, `detailed` and `comprehensive`."""
    smoke: dict[Name, Selection] = Field(default_factory=dict)
    """Which probes a smoke suite runs, beside `critical` and `full`."""
    _unprobed_ports: tuple[str, ...] = PrivateAttr(default=())

    @property
    def unprobed_ports(self) -> tuple[str, ...]:
        """Which entries of the port registry no probe looks at, and why."""
        return self._unprobed_ports

    _refused: Refusals = PrivateAttr(default_factory=dict)

    @property
    def refused(self) -> Refusals:
        """The modules of the file that cannot run; probes by them fail and say why."""
        return self._refused

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.services and not self.modules:
            raise ValueError("services: is empty; name a service and its probes, or under modules what /probe may do")
        return self

    def all_layers(self) -> dict[str, Layer]:
        """The layers of source 002 and those of the file, which win."""
        return {**LAYERS, **self.layers}

    def all_levels(self) -> dict[str, Selection]:
        """The levels of source 001 and those of the file, which win."""
        return {**LEVELS, **self.levels}

    def all_smoke(self) -> dict[str, Selection]:
        """The smoke suites of source 001 and those of the file, which win."""
        return {**SMOKE, **self.smoke}

    def owner(self, name: str) -> ServiceKey:
        """Which service in which environment an entry of `services` is."""
        service = self.services[name]
        return ServiceKey(service.service or name, service.environment or self.environment)

    def dependencies(self) -> dict[ServiceKey, tuple[str, ...]]:
        """What each service depends on, in its own environment."""
        return {self.owner(name): service.depends_on for name, service in self.services.items() if service.depends_on}


def dependents(dependencies: Mapping[ServiceKey, Iterable[str]]) -> dict[ServiceKey, tuple[str, ...]]:
    """For each service those that need it, those that need these included; each in its own environment."""
    direct: dict[ServiceKey, set[ServiceKey]] = {}
    for owner, others in dependencies.items():
        for other in others:
            direct.setdefault(ServiceKey(other, owner.environment), set()).add(owner)
    # By hand and not by recursion: a circle of dependencies is allowed in a config.
    closed: dict[ServiceKey, tuple[str, ...]] = {}
    for key, needing in direct.items():
        reached, waiting = set[ServiceKey](), list(needing)
        while waiting:
            owner = waiting.pop()
            if owner not in reached:
                reached.add(owner)
                waiting += direct.get(owner, ())
        closed[key] = tuple(sorted(owner.service for owner in reached - {key}))
    return closed


def load(path: Path, *, variables: Mapping[str, str] | None = None) -> ExporterSettings:
    """Read a config file; ConfigError carries every fault, those between different keys too."""
    return built(_read(path, variables), path.parent)


def load_text(text: str, path: Path, *, variables: Mapping[str, str] | None = None) -> ExporterSettings:
    """The same of a text that stood in the file, with its secrets' files as they are now."""
    given = os.environ if variables is None else variables
    return built(yaml_reader.read(text, str(path), given, literal=is_literal), path.parent)


def _read(path: Path, variables: Mapping[str, str] | None) -> Document:
    return config.read_file(path, os.environ if variables is None else variables, literal=is_literal)


def built(document: Document, base: Path) -> ExporterSettings:
    """The settings of a document; ConfigError carries every fault."""
    # First, as entries of the registry become entries of `ports`, which the checks below look at.
    unprobed = port_registry.take_in(document, base)
    for place, message in faults(document):
        document.report(place, message)
    # A module with one bad option is taken out before the rest is built: one fault must not stop all probes.
    refused = take_out(document, base)
    for place, name in _discovering(document):
        if name in refused:
            document.report(place, f"the module is refused: {told(refused[name])}")
    if refused and not (document.data.get("modules") or document.data.get("services")):
        # Nothing would be left that works.
        document.problems += [problem for problems in refused.values() for problem in problems]
        raise ConfigError(document.problems)
    settings = config.build(document, ExporterSettings, base=base)
    # No fields: these two are what was made of the file, and must not be settable in it.
    settings._refused = refused
    settings._unprobed_ports = unprobed
    return settings


def _discovering(document: Document) -> Iterator[tuple[KeyPath, str]]:
    """Where target files name their module, and which."""
    entries = document.data.get("discover") if isinstance(document.data, dict) else None
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and isinstance(entry.get("module"), str):
            yield ("discover", number, "module"), entry["module"]
