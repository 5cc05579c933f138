"""Targets: each probe of each service in an environment, ready to run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from deploywatch.exporter.config import ExporterSettings, ServiceKey
from deploywatch.exporter.probes.port import PortSettings
from deploywatch.exporter.probing.measurement import Probe
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.settings.layers import Layer

MOST_SHARDS = 1000


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
    shown: str = field(default="", compare=False)
    server: str | None = field(default=None, compare=False)

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


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number`, from 1, of `total` parts into which the targets of a fleet of exporters are divided.

    Which part a target belongs to follows from its key alone: it is in exactly one, and stays there when others come
    and go. Two exporters of one part probe the same.
    """

    number: int
    total: int

    def holds(self, key: Key) -> bool:
        """Whether a target belongs to the part."""
        return self.total == 1 or int(_fraction(*key, "shard") * self.total) == self.number - 1

    def of(self, targets: Iterable[Target]) -> list[Target]:
        """The targets that belong to the part."""
        return [target for target in targets if self.holds(target.key)]


WHOLE = Shard(1, 1)
"""All targets, of an exporter that is alone."""


def parse_shard(text: str) -> Shard:
    """Read `2/5`; ValueError for anything else."""
    number, slash, total = text.partition("/")
    if not (slash and number.isascii() and number.isdigit() and total.isascii() and total.isdigit()):
        raise ValueError(f"{text!r} is no part; write 2/5 for the second of five")
    shard = Shard(int(number), int(total))
    if not 1 <= shard.number <= shard.total <= MOST_SHARDS:
        raise ValueError(
            f"{text!r} is no part; write numbers from 1/{total} to {total}/{total}, of {MOST_SHARDS} at most"
        )
    return shard


def targets(settings: ExporterSettings) -> Iterator[Target]:
    """Every target that the config itself names."""
    for name, service in settings.services.items():
        owner = settings.owner(name)
        for probe_name, probe in service.probes.items():
            settings_of_probe = probe.of(settings.ports) if isinstance(probe, PortSettings) else probe
            yield make_target(Key(*owner, probe_name), settings_of_probe, settings)


def make_target(key: Key, probe: ProbeSettings, settings: ExporterSettings, limit: timedelta | None = None) -> Target:
    """The target of a probe, with its own times or those of its layer; `limit` is the timeout of its module."""
    layer = settings.all_layers()[probe.layer]
    return Target(
        key=key,
        kind=probe.kind,
        layer=probe.layer,
        interval=(probe.interval or layer.interval).total_seconds(),
        timeout=_timeout(probe, layer, limit).total_seconds(),
        settings=probe,
        probe=probe.probe(),
        jitter=layer.jitter.total_seconds(),
        shown=probe.conceal(probe.shown_target()),
        server=probe.server(),
    )


def _timeout(probe: ProbeSettings, layer: Layer, limit: timedelta | None) -> timedelta:
    """How long a run may take; a `port` probe's timeout is that of each port, and so bounds no run."""
    interval = probe.interval or layer.interval
    own = None if isinstance(probe, PortSettings) else probe.timeout or limit
    return min(own or layer.timeout, interval)
