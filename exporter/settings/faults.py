"""Faults that only several keys of the exporter's config together show, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from deploywatch.config import nearest
from deploywatch.exporter.settings.layers import LAYERS
from deploywatch.files.document import Document, path_text
from deploywatch.files.document import Path as KeyPath
from deploywatch.quantity import parse_duration

Fault = tuple[KeyPath, str]
Probes = Sequence[tuple[KeyPath, dict[str, Any]]]


def faults(document: Document) -> Iterator[Fault]:
    """All of them; looks at the plain data, so that they are told along with everything else."""
    data = document.data if isinstance(document.data, dict) else {}
    services = {name: entry for name, entry in _mapping(data, "services").items() if isinstance(entry, dict)}
    default = _text(data, "environment") or "default"
    owners = {name: _owner(name, entry, default) for name, entry in services.items()}
    yield from _same_twice(owners)
    for name, entry in services.items():
        yield from _unknown_dependencies(name, entry, owners)
    modules = {name: entry for name, entry in _mapping(data, "modules").items() if isinstance(entry, dict)}
    probes = [*_probes(services), *((("modules", name), entry) for name, entry in modules.items())]
    layers = {*LAYERS, *_mapping(data, "layers")}
    yield from _unknown_layers(probes, layers)
    yield from _unknown_in_selections(data, layers)
    yield from _two_helps(probes)
    yield from _too_long(probes, data)
    yield from _unknown_modules(data)
    yield from _unknown_ports(probes, _mapping(data, "ports"))


def _owner(name: str, entry: Mapping[str, Any], default: str) -> tuple[str, str]:
    """The service and environment that an entry is about."""
    return _text(entry, "service") or name, _text(entry, "environment") or default


def _same_twice(owners: Mapping[str, tuple[str, str]]) -> Iterator[Fault]:
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
) -> Iterator[Fault]:
    own, environment = owners[name]
    # Dependencies do not cross environments: staging that needs production would be a fault to find, not to watch.
    known = {service for service, place in owners.values() if place == environment} - {own}
    for position, other in _texts(entry, "depends_on"):
        path: KeyPath = ("services", name, "depends_on", position)
        if other == own:
            yield path, "a service does not depend on itself; remove it"
        elif other not in known:
            yield path, f"no service {other!r} in environment {environment!r}{nearest(other, known)}"


def _unknown_layers(probes: Probes, known: set[str]) -> Iterator[Fault]:
    for path, probe in probes:
        layer = _text(probe, "layer")
        if layer is not None and layer not in known:
            yield (*path, "layer"), f"no layer {layer!r}{nearest(layer, known)}"


def _too_long(probes: Probes, data: Mapping[str, Any]) -> Iterator[Fault]:
    """A probe's own timeout is no longer than its interval, or the layer's."""
    layers = {name: layer.interval for name, layer in LAYERS.items()}
    for name, layer in _mapping(data, "layers").items():
        if isinstance(layer, dict) and (interval := _duration(layer.get("interval"))):
            layers[name] = interval
    for path, probe in probes:
        # A module's interval is its caller's, and the timeout of `port` is that of each port.
        if path[0] == "modules" or probe.get("kind") == "port":
            continue
        timeout = _duration(probe.get("timeout"))
        interval = _duration(probe.get("interval")) or layers.get(str(probe.get("layer", "immediate")))
        if timeout and interval and timeout > interval:
            yield (*path, "timeout"), "is longer than the interval; a run would not be over when the next is due"


def _duration(value: Any) -> timedelta | None:
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        # It is told where it stands.
        return None


def _unknown_in_selections(data: Mapping[str, Any], known: set[str]) -> Iterator[Fault]:
    for section in ("levels", "smoke"):
        for name, selection in _mapping(data, section).items():
            for position, layer in _texts(selection, "layers") if isinstance(selection, dict) else ():
                if layer not in known:
                    path: KeyPath = (section, name, "layers", position)
                    yield path, f"no layer {layer!r}{nearest(layer, known)}"


def _unknown_modules(data: Mapping[str, Any]) -> Iterator[Fault]:
    known = _mapping(data, "modules")
    for position, entry in enumerate(_list(data, "discover")):
        module = _text(entry, "module") if isinstance(entry, dict) else None
        if module is not None and module not in known:
            yield ("discover", position, "module"), f"no module {module!r}{nearest(module, known)}"


def _unknown_ports(probes: Probes, registry: Mapping[str, Any]) -> Iterator[Fault]:
    for path, probe in probes:
        if probe.get("kind") != "port":
            continue
        if not registry:
            yield path, "there is no registry to look at; say under ports: which service is where"
            continue
        for position, name in _texts(probe, "ports"):
            if name not in registry:
                yield (*path, "ports", position), f"no port {name!r} in the registry{nearest(name, registry)}"


def _two_helps(probes: Probes) -> Iterator[Fault]:
    """A metric has one help text; the first that is given stands."""
    helps: dict[str, tuple[Any, KeyPath]] = {}
    for path, probe in probes:
        for section in ("gauges", "queries"):
            for name, gauge in _mapping(probe, section).items():
                text = _text(gauge, "help") if isinstance(gauge, dict) else None
                here = (*path, section, name)
                for metric in _metrics(name, gauge):
                    first, place = helps.setdefault(metric, (text, here))
                    if text != first:
                        known = f"{metric} has another help text at {path_text(place)}"
                        yield (*here, "help"), f"{known}; give both the same"


def _metrics(name: str, gauge: Any) -> list[str]:
    """What a gauge of a config makes: itself, or a metric for each of its values."""
    values = _list(gauge, "values") if isinstance(gauge, dict) else []
    return [f"{name}_{value}" for value in values] or [name]


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


def _text(data: Mapping[str, Any], key: str) -> str | None:
    """The text at a key; None for what is none, which the model refuses where it stands."""
    value = data.get(key)
    return value if isinstance(value, str) else None


def _texts(data: Mapping[str, Any], key: str) -> Iterator[tuple[int, str]]:
    """The texts of a list, each with its position."""
    for position, value in enumerate(_list(data, key)):
        if isinstance(value, str):
            yield position, value
