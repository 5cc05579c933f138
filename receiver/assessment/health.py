"""The health of a service from its signals: a weighted score with its coverage, and a status by kind; pure.

The same arithmetic as the recording rules of `rules.judgement.health`, so that both come to the same score: a signal
without a value leaves its weight out, any critical signal is critical, and too little weight is no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploywatch.receiver.assessment.measured import POINTS, Reading, Status
from deploywatch.verdict.plan_parts import Recorded


@dataclass(frozen=True, slots=True)
class Health:
    """Status, score and coverage from 0 to 1; the score is None below the coverage that the plan asks for."""

    status: Status
    score: float | None
    coverage: float


@dataclass(frozen=True, slots=True)
class KindHealth:
    """The health of one kind of signals: the worst of theirs; `weight` is the policy's, from 0 to 1."""

    kind: str
    weight: float
    status: Status
    coverage: float
    signals: int


def overall(readings: Sequence[Reading], plan: Recorded) -> Health:
    """The health of the whole service."""
    weight = sum(reading.signal.weight for reading in readings)
    there = [reading for reading in readings if reading.status is not Status.UNKNOWN]
    measured = sum(reading.signal.weight for reading in there)
    coverage = measured / weight if weight else 0.0
    points = sum(POINTS[reading.status] * reading.signal.weight for reading in there)
    # Of the measured weight: an unknown signal lowers the coverage, and neither helps nor hurts the score.
    score = points / measured if measured and coverage >= plan.least_coverage else None
    return Health(_status(there, score, plan.healthy), score, coverage)


def by_kind(readings: Sequence[Reading], plan: Recorded) -> tuple[KindHealth, ...]:
    """The health of each kind, in the policy's order; a kind that has a weight and no signal is unknown."""
    kinds = dict.fromkeys((*plan.kinds, *(reading.signal.kind for reading in readings)))
    return tuple(_kind(kind, [r for r in readings if r.signal.kind == kind], plan) for kind in kinds)


def _kind(kind: str, readings: Sequence[Reading], plan: Recorded) -> KindHealth:
    there = {reading.status for reading in readings}
    coverage = overall(readings, plan).coverage
    known = Status.HEALTHY if coverage >= plan.least_coverage and readings else Status.UNKNOWN
    worst = next((status for status in (Status.CRITICAL, Status.WARNING) if status in there), known)
    return KindHealth(kind, plan.kinds.get(kind, 0.0), worst, coverage, len(readings))


def _status(there: Sequence[Reading], score: float | None, healthy: float) -> Status:
    # Before the coverage: what is critical is critical, however little else was measured.
    if any(reading.status is Status.CRITICAL for reading in there):
        return Status.CRITICAL
    if score is None:
        return Status.UNKNOWN
    return Status.HEALTHY if score >= healthy else Status.WARNING
