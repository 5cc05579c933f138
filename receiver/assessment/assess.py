"""One assessment of a deployment, from what was measured and what the ledger knows; pure.

The same measurement gives the same assessment, on another replica and after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deploywatch.receiver.assessment import anomalies, health, recommendations
from deploywatch.receiver.assessment.anomalies import Anomaly, Baselines
from deploywatch.receiver.assessment.confidence import Confidence, confidence
from deploywatch.receiver.assessment.health import Health, KindHealth
from deploywatch.receiver.assessment.learned import LEAST_SAMPLES, LEAST_WEEKS, hour_of_week
from deploywatch.receiver.assessment.measured import Counted, Measurement, Reading, Status
from deploywatch.receiver.assessment.phase import Phase, next_look
from deploywatch.receiver.assessment.recommendations import Recommendation
from deploywatch.verdict.plan_parts import Recorded


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a deployment when it is assessed; `away` is how many looks before had no Prometheus."""

    phase: Phase
    judged_bad: bool = False
    counted: Sequence[Counted] = ()
    baselines: Baselines | None = None
    away: int = 0


@dataclass(frozen=True, slots=True)
class Assessment:
    """How healthy a deployment is at a moment; `impact` from 0 to 10, None where nobody knows."""

    at: datetime
    phase: Phase
    health: Health
    kinds: tuple[KindHealth, ...]
    readings: tuple[Reading, ...]
    impact: float | None
    impact_estimated: bool
    confidence: Confidence
    anomalies: tuple[Anomaly, ...]
    recommendations: tuple[Recommendation, ...]
    unmeasured: tuple[str, ...]
    problem: str
    next_look: timedelta

    def details(self) -> dict[str, Any]:
        """All but the columns of its row, as JSON."""
        return {
            "kinds": [
                {"kind": k.kind, "weight": k.weight, "status": k.status, "coverage": k.coverage, "signals": k.signals}
                for k in self.kinds
            ],
            "signals": [_signal(reading) for reading in self.readings],
            "confidence": self.confidence.to_json(),
            "anomalies": [anomaly.to_json() for anomaly in self.anomalies],
            "recommendations": [recommendation.to_json() for recommendation in self.recommendations],
            "unmeasured": list(self.unmeasured),
        }


def assess(plan: Recorded, measured: Measurement, known: Known, at: datetime) -> Assessment:
    """Put it together; without any measurement the status is unknown, and the confidence 0."""
    judged = health.overall(measured.readings, plan)
    strange = anomalies.found(plan, measured, known.baselines or {}, at)
    return Assessment(
        at=at,
        phase=known.phase,
        health=judged,
        kinds=health.by_kind(measured.readings, plan),
        readings=tuple(measured.readings),
        impact=measured.impact,
        impact_estimated=measured.impact_estimated,
        confidence=confidence(judged, measured.readings, known.counted),
        anomalies=strange,
        recommendations=recommendations.recommend(measured, strange, judged_bad=known.judged_bad),
        unmeasured=tuple(_unmeasured(plan, measured, known, at)),
        problem=measured.problem,
        # Each look without an answer makes the next one later: a Prometheus that starts needs no more of them.
        next_look=next_look(known.phase, judged.status, away=known.away + 1 if measured.problem else 0),
    )


def _unmeasured(plan: Recorded, measured: Measurement, known: Known, at: datetime) -> Iterator[str]:
    """Everything that nobody measured, each in a sentence."""
    if measured.problem:
        yield f"nothing at all: {measured.problem}"
        return
    if not plan.signals:
        yield "health: the policy weighs no signals (`health:` says which)"
        return
    yield from measured.remarks
    yield from (f"{reading.signal.name}: no value" for reading in measured.readings if reading.status is Status.UNKNOWN)
    for kind in plan.kinds:
        if not any(signal.kind == kind for signal in plan.signals):
            yield f"{kind}: the policy gives it a weight, and no signal"
    if plan.impact and measured.impact is None:
        yield "business impact: no value"
    for limit in plan.anomaly_limits:
        if limit.name not in measured.degrees:
            yield f"the anomaly {limit.name}: no value, or not enough of the time before"
    yield from _unlearned(plan, known, at)


def _unlearned(plan: Recorded, known: Known, at: datetime) -> Iterator[str]:
    """Of which signals nobody knows what is usual; those of which as much is there in one sentence."""
    alike: dict[tuple[int, int], list[str]] = {}
    for signal in plan.signals:
        # Of this hour alone: that Monday morning is known does not help on a Saturday night.
        usual = (known.baselines or {}).get(signal.learn, {}).get(hour_of_week(at))
        if usual is None or not usual.enough:
            alike.setdefault((usual.samples, usual.weeks) if usual else (0, 0), []).append(signal.learn_as)
    # Signals that lack the same are named in one sentence; twenty of them would be a wall of text.
    for (samples, weeks), names in alike.items():
        yield (
            f"what is usual at this hour of the week for {', '.join(dict.fromkeys(names))}: {samples} samples of "
            f"{weeks} weeks, and {LEAST_SAMPLES} of {LEAST_WEEKS} are needed"
        )


def _signal(reading: Reading) -> dict[str, Any]:
    signal = reading.signal
    return {
        "name": signal.name,
        "title": signal.title,
        "kind": signal.kind,
        "weight": signal.weight,
        "status": reading.status,
        "value": reading.value,
        "unit": signal.unit,
        "warning": signal.warning,
        "critical": signal.critical,
        "samples": reading.samples,
        # The series that its usual course is learned of; empty where that is another signal's.
        "learn": signal.learn if signal.learn == signal.value else "",
        "bound": signal.bound,
        "runbook": signal.runbook,
    }
