"""Whether a probe is well, judged from its last results; pure, and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deploywatch.conventions import ProbeMetric
from deploywatch.exporter.board.record import Record
from deploywatch.exporter.probing.measurement import OWN
from deploywatch.exporter.results import Result, StepResult, iso
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


# Unknown is worse than degraded: a degraded service is known to serve.
_WORST_FIRST = (Status.UNHEALTHY, Status.UNKNOWN, Status.DEGRADED, Status.HEALTHY)


@dataclass(frozen=True, slots=True)
class ProbeHealth:
    """A probe and its result, if there is one that still counts."""

    key: Key
    kind: str
    result: Result | None
    target: str = ""
    failing_since: float | None = None
    required: bool = False
    new: bool = False
    """Whether it was added after the start and has not run yet: then it is unknown alone."""

    @property
    def status(self) -> Status:
        """Healthy, unhealthy or unknown; degraded when it succeeded and the service says so of itself."""
        if self.result is None:
            return Status.UNKNOWN
        if not self.result.success:
            return Status.UNHEALTHY
        return Status.DEGRADED if self.says else Status.HEALTHY

    @property
    def says(self) -> str | None:
        """What a service that is degraded says of itself."""
        return self.result.says if self.result else None

    @property
    def ping(self) -> float | None:
        """The round trip of PING in seconds, of a Redis."""
        samples = self.result.samples if self.result else ()
        return next((sample.value for sample in samples if sample.family.name == ProbeMetric.REDIS_PING), None)

    @property
    def figures(self) -> dict[str, float]:
        """The numbers that the config's own queries, keys and paths gave, those without labels."""
        samples = self.result.samples if self.result else ()
        return {
            sample.family.name: sample.value
            for sample in samples
            if not sample.labels and not sample.family.name.startswith(OWN)
        }

    @property
    def error(self) -> str | None:
        """Why it is unhealthy, for people."""
        return f"{self.result.reason}: {self.result.detail}" if self.result and self.result.reason else None

    def body(self) -> dict[str, Any]:
        """The probe as health answers show it."""
        shown: dict[str, Any] = {"status": str(self.status), "kind": self.kind}
        shown |= {"target": self.target} if self.target else {}
        shown |= {"required": True} if self.required else {}
        if self.result is None:
            return shown | {"last_checked": None}
        if self.result.reason:
            shown |= {"reason": str(self.result.reason), "detail": self.result.detail}
            shown |= {"failing_since": iso(self.failing_since)} if self.failing_since is not None else {}
        return (
            shown
            | {
                "response_time_seconds": round(self.result.duration, 6),
                "last_checked": iso(self.result.started),
            }
            | self._details(self.result)
        )

    def _details(self, result: Result) -> dict[str, Any]:
        """What only some probes have; left out where there is none."""
        details = {
            "says": result.says,
            "ping_time_seconds": self.ping,
            "figures": self.figures,
            "steps": [_step(step) for step in result.steps],
            "dropped": {str(reason): count for reason, count in result.dropped.items()},
        }
        return {name: value for name, value in details.items() if value not in (None, {}, [])}


def of_record(record: Record, result: Result | None, *, started: bool) -> ProbeHealth:
    """A record with the result that counts now; once the exporter has started, a target without one is new."""
    target = record.target
    since = record.failing_since
    if result is not None and not result.success and since is None:
        since = result.started
    required = target.settings.is_required
    new = started and record.last is None and result is None
    return ProbeHealth(target.key, target.kind, result, target.shown, since, required, new)


def _step(step: StepResult) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": step.name, "response_time_seconds": round(step.duration, 6)}
    return shown | ({"reason": str(step.reason), "detail": step.detail} if step.reason else {})


def worst(statuses: Iterable[Status]) -> Status:
    """The status of a whole whose parts are all needed."""
    distinct = set(statuses)
    return next((status for status in _WORST_FIRST if status in distinct), Status.UNKNOWN)
