"""The series that a policy's signals are made of, and the alerts that depend on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploywatch.rules.conditions.view import plain
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.requests import Measured
from deploywatch.rules.series.resources import Quotient, Stock
from deploywatch.rules.signals.service.latency_mean import LatencyMean


@dataclass(frozen=True, slots=True)
class Need:
    """One metric that must be there: the key under `series`, its source, and the alerts that read it."""

    key: str
    source: Measured
    metric: str
    alerts: tuple[str, ...]

    @property
    def concerns(self) -> str:
        """Who suffers without it, to end a message with."""
        return f"; without it, silent: {', '.join(self.alerts)}" if self.alerts else ""


def needs(policy: ResolvedPolicy) -> Iterator[Need]:
    """Every metric that a signal of the policy reads, once."""
    readers: dict[type[Measured], dict[str, None]] = {}
    for used in policy.signals.values():
        for kind in used.signal.needs:
            readers.setdefault(kind, {})
    for alert in policy.alerts:
        for term in alert.terms:
            for kind in term.signal.needs:
                readers[kind][alert.given.alert] = None
    means = any(isinstance(plain(used.signal), LatencyMean) for used in policy.signals.values())
    for kind, alerts in readers.items():
        source = policy.given.series.of(kind)
        for metric in metrics(source, means=means):
            yield Need(policy.given.series.key(kind), source, metric, tuple(alerts))


def label_of(need: Need, ours: str) -> str | None:
    """What the need's series call one of our labels; None for one that they lack, as the policy says."""
    labels = need.source.labels
    return None if ours in labels.constant else labels.borne.get(ours, ours)


def metrics(source: Measured, *, means: bool) -> tuple[str, ...]:
    """The metrics that are read of a source; `means` are made of sums and counts too."""
    match source:
        case Durations():
            more = (f"{source.metric}_sum", f"{source.metric}_count") if means else ()
            if source.native or source.quantiles is not None:
                return (source.metric, *(() if source.native else more))
            return (*((f"{source.metric}_bucket",) if source.bounds else ()), *more)
        case Stock():
            return source.metric, source.total
        case Quotient():
            return source.metric, source.per
    return (source.metric,)
