"""One shot: probe every target once, and tell how each is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from deploywatch.clock import Clock
from deploywatch.errors import DeploywatchError
from deploywatch.exporter.board.lag import LOOP_BOUNDS, Lags, watch_loop
from deploywatch.exporter.config import ExporterSettings, ServiceKey
from deploywatch.exporter.discovery.files import TargetFiles, together
from deploywatch.exporter.health.probes import ProbeHealth, Status
from deploywatch.exporter.health.services import ServiceHealth, services
from deploywatch.exporter.pacing import Servers, pace
from deploywatch.exporter.probing.measurement import Settling
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.settings.selection import Selection
from deploywatch.exporter.targets import WHOLE, Shard, Target, targets

BUSY = 0.1
"""Seconds that this machine may be late before it is said that it was the limit."""


class NothingError(DeploywatchError):
    """No probe is what was asked for."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What one shot found."""

    probes: tuple[ProbeHealth, ...]
    dependencies: Mapping[ServiceKey, Sequence[str]] = field(default_factory=dict)
    lag: float = 0.0
    """The longest, in seconds, that this machine was late to go on."""

    @property
    def well(self) -> bool:
        """Whether every probe succeeded; what a service says is degraded still serves."""
        return all(probe.status in {Status.HEALTHY, Status.DEGRADED} for probe in self.probes)

    @property
    def remark(self) -> str | None:
        """What has to be known to read the times: that the machine was the limit."""
        if self.lag < BUSY:
            return None
        return f"this machine was busy and up to {self.lag * 1000:.0f} ms late: times may be its own, not the targets'"

    def after(self, before: Checked) -> Checked:
        """The same, with what failed before too failing since then."""
        since = {probe.key: probe.failing_since for probe in before.probes if probe.error}
        probes = (
            replace(probe, failing_since=since.get(probe.key, probe.failing_since)) if probe.error else probe
            for probe in self.probes
        )
        return replace(self, probes=tuple(probes))

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


def all_targets(settings: ExporterSettings, shard: Shard = WHOLE) -> list[Target]:
    """Every target of a config and of the files that it names; DeploywatchError when one of these is faulty."""
    files = TargetFiles(settings)
    files.refresh()
    # Here nobody would see that a target was put aside, and a check of fewer targets would pass.
    if problems := [*files.problems().values(), *(target.detail for target in files.dropped())]:
        raise NothingError("\n".join(problems))
    return shard.of(together(list(targets(settings)), files.targets()))


async def check(
    chosen: Sequence[Target],
    settings: ExporterSettings,
    *,
    clock: Clock,
    done: Callable[[ProbeHealth], None] = lambda _: None,
) -> Checked:
    """Run each target once, paced so that it is the targets that are measured; `done` is told of each at its end."""
    slots, servers, lags = asyncio.Semaphore(settings.concurrency), Servers(), Lags(LOOP_BOUNDS)

    async def one(target: Target) -> ProbeHealth:
        async with servers.turn(target) as server, slots:
            result = await run(target.probe, limit=target.timeout, clock=clock, conceal=target.settings.conceal)
            # It answers before the server is rid of it; without this the next run there would find its remains.
            if isinstance(target.probe, Settling):
                await target.probe.settled()
            server.note(result, target)
        since = None if result.success else result.started
        required = target.settings.is_required
        probe_health = ProbeHealth(target.key, target.kind, result, target.shown, since, required)
        done(probe_health)
        return probe_health

    watch = asyncio.create_task(watch_loop(clock, lags))
    try:
        tasks: list[asyncio.Task[ProbeHealth]] = []
        for target in chosen:
            tasks.append(asyncio.create_task(one(target)))
            await pace(clock)
        healths = tuple(await asyncio.gather(*tasks))
    finally:
        watch.cancel()
    checked = {probe.key.owner for probe in healths}
    known = {
        owner: tuple(other for other in others if ServiceKey(other, owner.environment) in checked)
        for owner, others in settings.dependencies().items()
    }
    return Checked(healths, known, lags.longest)
