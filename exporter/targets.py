"""Targets: each probe of each service in an environment, ready to run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from deploywatch.exporter.config import ExporterSettings, ServiceKey
from deploywatch.exporter.probes.port import PortSettings
from deploywatch.exporter.probing import Probe, ProbeSettings


class Key(NamedTuple):
    """What tells targets apart."""

    service: str
    environment: str
    probe: str

    @property
    def owner(self) -> ServiceKey:
        """The service that the probe belongs to."""
        return ServiceKey(self.service, self.environment)


@dataclass(frozen=True, slots=True)
class Target:
    """One probe to run every `interval` seconds, for at most `timeout` seconds.

    Two are equal when they do the same thing at the same times; `probe` follows from `settings`.
    """

    key: Key
    kind: str
    layer: str
    interval: float
    timeout: float
    settings: ProbeSettings
    probe: Probe = field(compare=False)
    jitter: float = 0.0

    @property
    def fraction(self) -> float:
        """Where in an interval it starts, from 0 up to 1: always the same for a target, spread over all of them."""
        return _fraction(*self.key)

    def shift(self, number: int) -> float:
        """How many seconds after its regular time run `number` begins: from 0 up to `jitter`, the same each time."""
        return self.jitter and self.jitter * _fraction(*self.key, str(number))


def _fraction(*words: str) -> float:
    digest = hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def targets(settings: ExporterSettings) -> Iterator[Target]:
    """Every target that the config itself names."""
    for name, service in settings.services.items():
        owner = settings.owner(name)
        for probe_name, probe in service.probes.items():
            settings_of_probe = probe.of(settings.ports) if isinstance(probe, PortSettings) else probe
            yield make_target(Key(*owner, probe_name), settings_of_probe, settings)


def make_target(key: Key, probe: ProbeSettings, settings: ExporterSettings) -> Target:
    """The target of a probe, with the times of its layer."""
    layer = settings.all_layers()[probe.layer]
    return Target(
        key=key,
        kind=probe.kind,
        layer=probe.layer,
        interval=layer.interval.total_seconds(),
        timeout=layer.timeout.total_seconds(),
        settings=probe,
        probe=probe.probe(),
        jitter=layer.jitter.total_seconds(),
    )
