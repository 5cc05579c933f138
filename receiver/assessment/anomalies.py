"""What is not as it used to be: anomalies that rules recorded, and values far from what was learned; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from deploywatch.receiver.assessment import learned
from deploywatch.receiver.assessment.amounts import shown
from deploywatch.receiver.assessment.learned import Usual
from deploywatch.receiver.assessment.measured import Degree, Measurement
from deploywatch.verdict.plan_parts import AnomalyLimit, HealthSignal, Recorded

Baselines = Mapping[str, Mapping[int, Usual]]
"""By recorded series: what is usual in each hour of the week."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One anomaly: its kind, the signals that it is about, how far it is, and what was seen, in a sentence."""

    kind: Literal["statistical", "pattern", "correlation", "learned"]
    name: str
    signals: tuple[str, ...]
    degree: Degree
    sentence: str
    runbook: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is stored and given by the API."""
        return asdict(self) | {"signals": list(self.signals)}


def found(plan: Recorded, measured: Measurement, baselines: Baselines, at: datetime) -> tuple[Anomaly, ...]:
    """Every anomaly, the gravest first."""
    every = [*_recorded(plan, measured), *_learned(plan, measured, baselines, at)]
    return tuple(sorted(every, key=lambda anomaly: anomaly.degree is not Degree.HIGH))


def _recorded(plan: Recorded, measured: Measurement) -> Iterator[Anomaly]:
    limits = {limit.name: limit for limit in plan.anomaly_limits}
    for name, degree in measured.degrees.items():
        if degree <= 0:
            continue
        # Prometheus may run rules of a newer policy than this plan: an anomaly that it does not know is still shown.
        limit = limits.get(name) or AnomalyLimit(name=name, kind="pattern", signals=(), medium=name)
        high = degree > 1
        text = limit.high if high and limit.high else limit.medium
        how = Degree.HIGH if high else Degree.MEDIUM
        yield Anomaly(limit.kind, name, limit.signals, how, text, limit.runbook)


def _learned(plan: Recorded, measured: Measurement, baselines: Baselines, at: datetime) -> Iterator[Anomaly]:
    for signal in plan.signals:
        apart = learned.compare(baselines.get(signal.learn, {}), at, measured.values.get(signal.learn), signal.bound)
        # Not known, or as usual: only what is strange is an anomaly.
        if apart is None or apart.degree is None:
            continue
        yield Anomaly(
            "learned", signal.learn_as, (signal.name,), apart.degree, _sentence(signal, apart), signal.runbook
        )


def _sentence(signal: HealthSignal, apart: learned.Deviation) -> str:
    usual = apart.usual
    way = "above" if apart.value > usual.median else "below"
    now, middle = shown(apart.value, signal.unit), shown(usual.median, signal.unit)
    # Beyond, the deviation is so small that the number says nothing but that.
    many = f"{apart.deviations:.1f}" if apart.deviations < 100 else "over 100"
    return (
        f"{signal.learn_as} is {now}, {many} deviations {way} {middle}, which is usual at this hour of the week "
        f"({usual.samples} samples of {usual.weeks} weeks)"
    )
