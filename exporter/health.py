"""Whether services are healthy, judged from their probes' last results; pure, and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from deploywatch.conventions import ProbeMetric
from deploywatch.exporter.board.record import APPLICATION
from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.results import Application, Result
from deploywatch.exporter.targets import Key


class Status(StrEnum):
    """How a service is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"

    @property
    def http(self) -> int:
        """What a load balancer is told: a degraded service still serves, one that nothing is known of does not."""
        return 200 if self in {Status.HEALTHY, Status.DEGRADED} else 503


_ABOUT = {ProbeMetric.APPLICATION_UPTIME, ProbeMetric.APPLICATION_INFO, ProbeMetric.APPLICATION_CHECK}
_WORST_FIRST = (Status.UNHEALTHY, Status.UNKNOWN, Status.DEGRADED, Status.HEALTHY)


@dataclass(frozen=True, slots=True)
class ProbeHealth:
    """A probe and its result, if there is one that still counts."""

    key: Key
    kind: str
    result: Result | None

    @property
    def status(self) -> Status:
        """Healthy, unhealthy or unknown; a single probe is never degraded."""
        if self.result is None:
            return Status.UNKNOWN
        return Status.HEALTHY if self.result.success else Status.UNHEALTHY

    @property
    def error(self) -> str | None:
        """Why it is unhealthy, for people."""
        return f"{self.result.reason}: {self.result.detail}" if self.result and self.result.reason else None

    def body(self) -> dict[str, Any]:
        """The probe as health answers show it."""
        shown: dict[str, Any] = {"status": str(self.status), "kind": self.kind}
        if self.result is None:
            return shown | {"last_checked": None}
        if self.result.reason:
            shown |= {"reason": str(self.result.reason), "detail": self.result.detail}
        return shown | {
            "response_time_seconds": round(self.result.duration, 6),
            "last_checked": iso(self.result.started),
        }


@dataclass(frozen=True, slots=True)
class Dependency:
    """A service that another depends on, judged by its own probes; without any it is unknown."""

    probes: Sequence[ProbeHealth] = ()

    @property
    def status(self) -> Status:
        """As the service's own probes are."""
        own = [probe.status for probe in self.probes]
        return judge(own, own)

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

    @property
    def status(self) -> Status:
        """Source 004: up to half of probes and dependencies may fail in a degraded service; not all its own probes."""
        own = [probe.status for probe in self.probes]
        return judge([*own, *(dependency.status for dependency in self.dependencies.values())], own)

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
        }


def judge(all_of: Iterable[Status], own: Iterable[Status] = ()) -> Status:
    """One status of several: unhealthy when more than half fail or all `own` do, unknown when one is not known."""
    statuses, own = list(all_of), list(own)
    failing = statuses.count(Status.UNHEALTHY)
    if failing * 2 > len(statuses) or (own and all(status is Status.UNHEALTHY for status in own)):
        return Status.UNHEALTHY
    if failing or Status.DEGRADED in statuses:
        return Status.DEGRADED
    return Status.HEALTHY if statuses and Status.UNKNOWN not in statuses else Status.UNKNOWN


def worst(statuses: Iterable[Status]) -> Status:
    """The status of a whole whose parts are all needed."""
    distinct = set(statuses)
    return next((status for status in _WORST_FIRST if status in distinct), Status.UNKNOWN)


def services(
    probes: Iterable[ProbeHealth], dependencies: Mapping[ServiceKey, Sequence[str]]
) -> dict[ServiceKey, ServiceHealth]:
    """The health of every service; a dependency counts by its own probes, so that a circle does no harm."""
    grouped: dict[ServiceKey, list[ProbeHealth]] = {}
    for probe in probes:
        grouped.setdefault(probe.key.owner, []).append(probe)
    return {
        key: ServiceHealth(
            key,
            own,
            {
                name: Dependency(grouped.get(ServiceKey(name, key.environment), ()))
                for name in dependencies.get(key, ())
            },
        )
        for key, own in grouped.items()
    }


def iso(moment: float) -> str:
    """Unix time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
