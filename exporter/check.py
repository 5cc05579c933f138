"""One shot: probe every target once, and tell how each is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deploywatch.clock import Clock
from deploywatch.errors import DeploywatchError
from deploywatch.exporter.config import ExporterSettings, ServiceKey
from deploywatch.exporter.discovery import TargetFiles, together
from deploywatch.exporter.health import ProbeHealth, ServiceHealth, Status, services
from deploywatch.exporter.probing import run
from deploywatch.exporter.settings.selection import Selection
from deploywatch.exporter.targets import Target, targets


class NothingError(DeploywatchError):
    """No probe is what was asked for."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What one shot found."""

    probes: tuple[ProbeHealth, ...]
    dependencies: Mapping[ServiceKey, Sequence[str]] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        """Whether every probe succeeded."""
        return all(probe.status is Status.HEALTHY for probe in self.probes)

    def services(self) -> list[ServiceHealth]:
        """The probes by service."""
        return list(services(self.probes, self.dependencies).values())


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which probes to check: of a service, in an environment, chosen by a level or a smoke suite of the config."""

    service: str | None = None
    environment: str | None = None
    selections: tuple[Selection, ...] = ()

    def of(self, targets: Iterable[Target]) -> list[Target]:
        """These of the targets."""
        return [
            target
            for target in targets
            if self.service in {None, target.key.service}
            and self.environment in {None, target.key.environment}
            and all(selection.chooses(target.settings) for selection in self.selections)
        ]


def all_targets(settings: ExporterSettings) -> list[Target]:
    """Every target of a config and of the files that it names; DeploywatchError when one of these is faulty."""
    files = TargetFiles(settings)
    files.refresh()
    if problems := files.problems():
        raise NothingError("\n".join(problems.values()))
    return together(list(targets(settings)), files.targets())


async def check(
    chosen: Sequence[Target],
    settings: ExporterSettings,
    *,
    clock: Clock,
    done: Callable[[ProbeHealth], None] = lambda _: None,
) -> Checked:
    """Run each target once, some at a time as the config says; `done` is told of each that has ended."""
    slots = asyncio.Semaphore(settings.concurrency)

    async def one(target: Target) -> ProbeHealth:
        async with slots:
            result = await run(target.probe, limit=target.timeout, clock=clock)
        probe_health = ProbeHealth(target.key, target.kind, result)
        done(probe_health)
        return probe_health

    healths = tuple(await asyncio.gather(*map(one, chosen)))
    checked = {probe.key.owner for probe in healths}
    known = {
        owner: tuple(other for other in others if ServiceKey(other, owner.environment) in checked)
        for owner, others in settings.dependencies().items()
    }
    return Checked(healths, known)
