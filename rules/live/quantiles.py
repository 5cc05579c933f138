"""Checks that a summary gives the quantiles that a policy asks for, and that a native histogram is one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

from deploywatch.prometheus import Prometheus
from deploywatch.rules import promql
from deploywatch.rules.conditions.view import plain
from deploywatch.rules.live.buckets import numbers
from deploywatch.rules.live.findings import Finding, Grade
from deploywatch.rules.live.presence import counted
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals.service.latency import LatencyQuantile
from deploywatch.rules.signals.summary import LABEL


async def check(prometheus: Prometheus, policy: ResolvedPolicy) -> AsyncIterator[Finding]:
    """Each summary and each native histogram that a signal reads; of what is not there, nothing is said here."""
    kinds = dict.fromkeys(
        kind for used in policy.signals.values() for kind in used.signal.needs if issubclass(kind, Durations)
    )
    for kind in kinds:
        durations = policy.given.series.of(kind)
        series = promql.raw(policy.given, durations)
        if durations.quantiles is None and not durations.native:
            continue
        if not await counted(prometheus, f"count({series})"):
            continue
        if not durations.native:
            live = set(numbers(labels.labels.get(LABEL, "") for labels in await prometheus.query(_quantiles(series))))
            for finding in _missing(policy, kind, live):
                yield finding
        elif not await counted(prometheus, f"count(histogram_count({series}))"):
            text = f"{durations.metric} is no native histogram: its samples are numbers"
            yield Finding(Grade.FAULT, ("series", policy.given.series.key(kind), "native"), text)


def _missing(policy: ResolvedPolicy, kind: type[Durations], live: set[Decimal]) -> Iterator[Finding]:
    """Each quantile that the policy asks for and the summary does not give; a fault where an alert reads it."""
    durations, silent = policy.given.series.of(kind), _silent(policy, kind)
    have = ", ".join(map(promql.number, sorted(live))) or "none"
    for quantile in durations.quantiles or ():
        if quantile.normalize() in live:
            continue
        dead = [name for name, of in silent if of == quantile]
        text = f"{durations.metric} has no quantile {promql.number(quantile)}; it has: {have}"
        more = f"; dead: {', '.join(dict.fromkeys(dead))}" if dead else ""
        path = ("series", policy.given.series.key(kind), "quantiles")
        yield Finding(Grade.FAULT if dead else Grade.WARNING, path, text + more)


def _quantiles(series: str) -> str:
    return f"group by ({LABEL}) ({series})"


def _silent(policy: ResolvedPolicy, kind: type[Durations]) -> list[tuple[str, object]]:
    """Each alert that reads a quantile of these durations, with that quantile."""
    terms = [(alert.given.alert, plain(term.signal)) for alert in policy.alerts for term in alert.terms]
    return [
        (name, signal.quantile) for name, signal in terms if isinstance(signal, LatencyQuantile) and signal.kind is kind
    ]
