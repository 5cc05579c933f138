"""The exporter's config: services with their probes, the layers they run in, and how much may run at once."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from deploywatch import config
from deploywatch.config import Settings, nearest
from deploywatch.document import Document, path_text
from deploywatch.document import Path as KeyPath
from deploywatch.quantity import Duration
from exporter.probes import AnyProbe

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ServiceKey(NamedTuple):
    """A service in an environment."""

    service: str
    environment: str


class Layer(Settings):
    """How often a layer's probes run, and how long one may take."""

    interval: Duration
    timeout: Duration

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.interval <= timedelta(0) or self.timeout <= timedelta(0):
            raise ValueError("interval and timeout must be more than 0s")
        if self.timeout > self.interval:
            raise ValueError("timeout is longer than interval; a run would not be over when the next is due")
        return self


LAYERS: Mapping[str, Layer] = {
    # Source 002, monitoring layers.
    "immediate": Layer.model_validate({"interval": "30s", "timeout": "10s"}),
    "comprehensive": Layer.model_validate({"interval": "2m", "timeout": "30s"}),
    "business": Layer.model_validate({"interval": "5m", "timeout": "60s"}),
}

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
    layers: dict[Name, Layer] = Field(default_factory=dict)
    concurrency: int = Field(default=200, ge=1, le=100_000)
    buckets: Annotated[tuple[float, ...], AfterValidator(_increasing)] = Field(default=BUCKETS, max_length=50)
    services: dict[Name, Service]

    @field_validator("services")
    @classmethod
    def _some(cls, services: dict[str, Service]) -> dict[str, Service]:
        if not services:
            raise ValueError("is empty; name a service and its probes")
        return services

    def all_layers(self) -> dict[str, Layer]:
        """The layers of source 002 and those of the file, which win."""
        return {**LAYERS, **self.layers}

    def owner(self, name: str) -> ServiceKey:
        """Which service in which environment an entry of `services` is."""
        service = self.services[name]
        return ServiceKey(service.service or name, service.environment or self.environment)

    def dependencies(self) -> dict[ServiceKey, tuple[str, ...]]:
        """What each service depends on, in its own environment."""
        return {self.owner(name): service.depends_on for name, service in self.services.items() if service.depends_on}


def load(path: Path, *, variables: Mapping[str, str] | None = None) -> ExporterSettings:
    """Read a config file; ConfigError carries every fault, those between different keys too."""
    found = config.read_file(path, os.environ if variables is None else variables)
    for place, message in _faults(found):
        found.report(place, message)
    return config.build(found, ExporterSettings, base=path.parent)


def _faults(found: Document) -> Iterator[tuple[KeyPath, str]]:
    """What only several keys together show; looks at the plain data, so that it is said along with everything else."""
    data = found.data if isinstance(found.data, dict) else {}
    services = {name: entry for name, entry in _mapping(data, "services").items() if isinstance(entry, dict)}
    default = data.get("environment", "default")
    owners = {
        name: (entry.get("service") or name, entry.get("environment") or default) for name, entry in services.items()
    }
    yield from _same_twice(owners)
    for name, entry in services.items():
        yield from _unknown_dependencies(name, entry, owners)
    yield from _unknown_layers(services, {*LAYERS, *_mapping(data, "layers")})
    yield from _two_helps(services)


def _same_twice(owners: Mapping[str, tuple[str, str]]) -> Iterator[tuple[KeyPath, str]]:
    seen: dict[tuple[str, str], str] = {}
    for name, owner in owners.items():
        first = seen.setdefault(owner, name)
        if first != name:
            yield (
                ("services", name),
                f"is {owner[0]!r} in environment {owner[1]!r}, as services.{first} is; change one, or merge them",
            )


def _unknown_dependencies(
    name: str, entry: Mapping[str, Any], owners: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[KeyPath, str]]:
    own, environment = owners[name]
    known = {service for service, place in owners.values() if place == environment} - {own}
    for position, other in enumerate(_list(entry, "depends_on")):
        path: KeyPath = ("services", name, "depends_on", position)
        if other == own:
            yield path, "a service does not depend on itself; remove it"
        elif other not in known:
            yield path, f"no service {other!r} in environment {environment!r}{nearest(str(other), known)}"


def _unknown_layers(services: Mapping[str, Any], known: set[str]) -> Iterator[tuple[KeyPath, str]]:
    for path, probe in _probes(services):
        layer = probe.get("layer", "immediate")
        if layer not in known:
            yield (*path, "layer"), f"no layer {layer!r}{nearest(str(layer), known)}"


def _two_helps(services: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """A metric has one help text; the first that is given stands."""
    helps: dict[str, tuple[Any, KeyPath]] = {}
    for path, probe in _probes(services):
        for section in ("gauges", "queries"):
            for metric, gauge in _mapping(probe, section).items():
                text = gauge.get("help") if isinstance(gauge, dict) else None
                here = (*path, section, metric)
                first, place = helps.setdefault(metric, (text, here))
                if text != first:
                    yield (*here, "help"), f"{metric} has another help text at {path_text(place)}; give both the same"


def _probes(services: Mapping[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    for name, entry in services.items():
        for probe_name, probe in _mapping(entry, "probes").items():
            if isinstance(probe, dict):
                yield ("services", name, "probes", probe_name), probe


def _mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    return value if isinstance(value, list) else []
