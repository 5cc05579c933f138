"""What an assessment is made from, as values: each signal's status and value, and what could not be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from deploywatch.verdict.plan_parts import HealthSignal


class Status(StrEnum):
    """How well a signal, a kind of signals or a whole service is; `unknown` is never healthy."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


POINTS = {Status.HEALTHY: 1.0, Status.WARNING: 0.5, Status.CRITICAL: 0.0}
"""Points of a status, of 1; the enterprise document's figures. What is unknown has none, and its weight is left out."""


class Degree(StrEnum):
    """How far an anomaly is from what is usual."""

    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Reading:
    """One signal as it was measured: its status, its value in the signal's unit, and how often it was measured."""

    signal: HealthSignal
    status: Status
    value: float | None = None
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests that a limit of the newest verdict has counted, and how many it needs to be sure."""

    name: str
    requests: int
    needed: int | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What Prometheus gave at one moment.

    `degrees` by recorded anomaly: 0, 1 (medium) or 2 (high). `values` by recorded series. `remarks` are sentences about
    what is not as it should be, `problem` why there is nothing at all: then everything else is empty.
    """

    readings: Sequence[Reading] = ()
    degrees: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    impact: float | None = None
    impact_estimated: bool = False
    remarks: Sequence[str] = ()
    problem: str = ""
