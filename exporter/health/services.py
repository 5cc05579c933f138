"""Whether services are healthy, judged from their probes' last results; pure, and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploywatch.conventions import ProbeMetric
from deploywatch.exporter.board.record import APPLICATION
from deploywatch.exporter.config import ServiceKey, dependents
from deploywatch.exporter.health.probes import ProbeHealth, Status, worst
from deploywatch.exporter.results import Application, iso

_ABOUT = {ProbeMetric.APPLICATION_UPTIME, ProbeMetric.APPLICATION_INFO, ProbeMetric.APPLICATION_CHECK}


@dataclass(frozen=True, slots=True)
class Dependency:
    """A service that another depends on, judged by its own probes; without any it is unknown."""

    probes: Sequence[ProbeHealth] = ()

    @property
    def status(self) -> Status:
        """As the service's own probes are."""
        return judged(self.probes)

    @property
    def new(self) -> bool:
        """Whether all its probes were added after the start, and none has run yet."""
        return bool(self.probes) and all(probe.new for probe in self.probes)

    def body(self) -> dict[str, Any]:
        """The dependency as health answers show it: the slowest response, the oldest look, the first failure."""
        results = [probe.result for probe in self.probes if probe.result]
        failed = (f"{probe.key.probe}: {probe.error}" for probe in self.probes if probe.error)
        return {
            "status": str(self.status),
            "response_time_seconds": round(max(result.duration for result in results), 6) if results else None,
            "last_checked": iso(min(result.started for result in results)) if results else None,
            "error": next(failed, None),
        }


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """A service with its probes, and the services that it depends on with how they are."""

    key: ServiceKey
    probes: Sequence[ProbeHealth]
    dependencies: Mapping[str, Dependency]
    dependents: Sequence[str] = ()

    @property
    def status(self) -> Status:
        """Source 004: up to half of probes and dependencies may fail in a degraded service; not all its own probes.

        Source 000: nor any of those without which it cannot serve.
        """
        return judged(
            self.probes, [dependency.status for dependency in self.dependencies.values() if not dependency.new]
        )

    @property
    def new(self) -> bool:
        """Whether none of its probes has run, all being added after the start."""
        return all(probe.new for probe in self.probes)

    @property
    def application(self) -> Application | None:
        """What the service says of itself, by the first probe that read it."""
        bodies = (probe.result.application for probe in self.probes if probe.result)
        return next((application for application in bodies if application), None)

    @property
    def resources(self) -> dict[str, float]:
        """What the service says of its memory, processor, connections and requests, in base units."""
        samples = (sample for probe in self.probes if probe.result for sample in probe.result.samples)
        return {
            sample.family.name.removeprefix(APPLICATION): sample.value
            for sample in samples
            if sample.family.name.startswith(APPLICATION) and not sample.labels and sample.family.name not in _ABOUT
        }

    def body(self) -> dict[str, Any]:
        """The service as health answers show it; `last_checked` is when the oldest of its results was begun."""
        started = [probe.result.started for probe in self.probes if probe.result]
        application = self.application
        return {
            "service": self.key.service,
            "environment": self.key.environment,
            "status": str(self.status),
            "version": application.version if application else None,
            "uptime_seconds": application.uptime if application else None,
            "last_checked": iso(min(started)) if started and len(started) == len(self.probes) else None,
            "probes": {probe.key.probe: probe.body() for probe in self.probes},
            "dependencies": {name: dependency.body() for name, dependency in self.dependencies.items()},
            "resources": self.resources,
            **({"dependents": list(self.dependents)} if self.dependents else {}),
        }


def judge(all_of: Iterable[Status], own: Iterable[Status] = ()) -> Status:
    """One status of several: unhealthy when more than half fail or all `own` do, unknown when one is not known."""
    statuses, own = list(all_of), list(own)
    failing = statuses.count(Status.UNHEALTHY)
    # Unknown ones count into the whole: nothing is said by majority of the few that are known.
    if failing * 2 > len(statuses) or (own and all(status is Status.UNHEALTHY for status in own)):
        return Status.UNHEALTHY
    if failing or Status.DEGRADED in statuses:
        return Status.DEGRADED
    return Status.HEALTHY if statuses and Status.UNKNOWN not in statuses else Status.UNKNOWN


def judged(probes: Iterable[ProbeHealth], others: Sequence[Status] = ()) -> Status:
    """The status of a service by its probes and those of `others`; probes that are new have no part in it."""
    # A probe that a reload has added is unknown until its first run; it must not take the service out of rotation.
    known = [probe for probe in probes if not probe.new]
    own = [probe.status for probe in known]
    needed = (probe.status for probe in known if probe.required)
    bad = [status for status in needed if status in {Status.UNHEALTHY, Status.UNKNOWN}]
    return worst([judge([*own, *others], own), *bad])


def whole(services_: Iterable[ServiceHealth]) -> Status:
    """The status of all services together; one that was only now added has no part in it."""
    return worst(service.status for service in services_ if not service.new)


def services(
    probes: Iterable[ProbeHealth], dependencies: Mapping[ServiceKey, Sequence[str]]
) -> dict[ServiceKey, ServiceHealth]:
    """The health of every service; a dependency counts by its own probes, so that a circle does no harm."""
    grouped: dict[ServiceKey, list[ProbeHealth]] = {}
    for probe in probes:
        grouped.setdefault(probe.key.owner, []).append(probe)
    needed_by = dependents(dependencies)
    return {
        key: ServiceHealth(
            key,
            own,
            {
                name: Dependency(grouped.get(ServiceKey(name, key.environment), ()))
                for name in dependencies.get(key, ())
            },
            needed_by.get(key, ()),
        )
        for key, own in grouped.items()
    }
