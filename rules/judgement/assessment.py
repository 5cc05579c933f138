"""What a deployment's assessment reads: the recorded series of its health, its signals with weights, its anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from deploywatch.conventions import SEVERITIES
from deploywatch.rules import links
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.judgement import health
from deploywatch.rules.resolved import (
    ResolvedAlert,
    ResolvedAnomaly,
    ResolvedHealth,
    ResolvedPolicy,
    ResolvedStatus,
)
from deploywatch.rules.signals.signal import Signal
from deploywatch.verdict.plan_parts import AnomalyLimit, HealthSignal, Recorded

_KINDS: dict[str, Literal["statistical", "pattern", "correlation"]] = {
    "zscore": "statistical",
    "correlation": "correlation",
}
"""The kind of anomaly that a function finds; every other finds a pattern."""


def recorded(policy: ResolvedPolicy) -> Recorded:
    """Everything that tells of a deployment's health, where the policy has it."""
    judged = policy.health
    if judged is None:
        return Recorded()
    given = judged.given
    return Recorded(
        status=health.OVERALL,
        score=health.SCORE,
        coverage=health.COVERAGE,
        signal_status=health.STATUS_SCORE,
        impact=health.IMPACT if given.impact is not None else "",
        anomalies=health.DEGREE if given.anomalies else "",
        signals=tuple(_signals(policy, judged)),
        anomaly_limits=tuple(_anomaly(policy, anomaly) for anomaly in judged.anomalies),
        kinds={kind: float(weight.value) for kind, weight in given.weights.items()},
        least_coverage=float(given.coverage.value),
        healthy=float(given.healthy.value),
        impact_of=tuple(points.term.reading.record for points in judged.impact),
    )


def _signals(policy: ResolvedPolicy, judged: ResolvedHealth) -> Iterator[HealthSignal]:
    weights = health.weights(judged)
    return (_signal(policy, status, weights[status.name]) for status in judged.statuses)


def _signal(policy: ResolvedPolicy, status: ResolvedStatus, weight: float) -> HealthSignal:
    signal, gravest = status.critical.signal, _gravest(policy, status)
    usual = signal.parts[0] if isinstance(signal, Derived) else signal
    return HealthSignal(
        name=status.name,
        title=signal.title,
        kind=status.given.kind,
        weight=weight,
        value=signal.value(policy.given),
        unit=signal.unit.value,
        warning=status.given.warning,
        critical=status.given.critical,
        learn=usual.value(policy.given),
        learn_as=usual.name,
        bound=float(status.warning.comparison.quantity.value) if usual is signal else 0.0,
        alert=gravest.given.alert if gravest else "",
        action=gravest.given.action if gravest else "",
        runbook=_runbook(policy, gravest),
    )


def _anomaly(policy: ResolvedPolicy, anomaly: ResolvedAnomaly) -> AnomalyLimit:
    comparison, signal = anomaly.medium.comparison, anomaly.medium.signal
    parts = signal.parts if isinstance(signal, Derived) else (signal,)
    alerts = (_about(policy, part) for part in (signal, *parts))
    return AnomalyLimit(
        name=anomaly.name,
        kind=_KINDS.get(comparison.function or "", "pattern"),
        signals=tuple(part.name for part in parts),
        medium=anomaly.given.medium,
        high=anomaly.given.high or "",
        runbook=_runbook(policy, next((alert for alert in alerts if alert), None)),
    )


def _gravest(policy: ResolvedPolicy, status: ResolvedStatus) -> ResolvedAlert | None:
    """The alert that says what to do about a signal: on the signal itself, else on what it is a comparison of."""
    signal = status.critical.signal
    parts = signal.parts if isinstance(signal, Derived) else ()
    return next((alert for part in (signal, *parts) if (alert := _about(policy, part))), None)


def _about(policy: ResolvedPolicy, signal: Signal) -> ResolvedAlert | None:
    """The gravest of the alerts that compare a signal; of those as grave, the one that asks for least else."""
    about = [alert for alert in policy.alerts if any(term.signal.name == signal.name for term in alert.terms)]
    order = list(SEVERITIES)
    # The simplest of the gravest: its runbook is about this signal alone.
    return min(about, key=lambda alert: (order.index(alert.given.severity), len(alert.terms)), default=None)


def _runbook(policy: ResolvedPolicy, alert: ResolvedAlert | None) -> str:
    """Where the alert's runbook is served, else the file that is built."""
    if alert is None:
        return ""
    name = alert.given.alert
    return links.runbook_url(policy.given, name) or f"runbooks/{links.runbook_name(policy.given, name)}"
