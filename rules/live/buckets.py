"""Checks that histograms have a bucket at each limit, in the unit that the policy says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from decimal import Decimal, InvalidOperation

from deploywatch.prometheus import Prometheus
from deploywatch.rules import promql
from deploywatch.rules.conditions.view import plain
from deploywatch.rules.live.findings import Finding, Grade
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals.histogram import shown
from deploywatch.rules.signals.service.latency import LatencyQuantile

_SCALES = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}


async def check(prometheus: Prometheus, policy: ResolvedPolicy) -> AsyncIterator[Finding]:
    """Each histogram that a latency signal reads."""
    limits: dict[type[Durations], dict[Decimal, list[str]]] = {}
    for alert in policy.alerts:
        for term in alert.terms:
            signal = plain(term.signal)
            if isinstance(signal, LatencyQuantile):
                at = limits.setdefault(signal.kind, {}).setdefault(term.comparison.quantity.value, [])
                at.append(alert.given.alert)
    for kind, wanted in limits.items():
        durations = policy.given.series.of(kind)
        if not durations.bounds:
            continue
        buckets = await prometheus.query(f"group by (le) ({promql.raw(policy.given, durations, suffix='_bucket')})")
        live = set(numbers(series.labels.get("le", "") for series in buckets))
        if not live:
            continue  # that nothing is there has been said
        path = ("series", policy.given.series.key(kind))
        for finding in compared(durations, live, wanted):
            yield Finding(finding[0], (*path, finding[1]), finding[2])


# A histogram in milliseconds of which the policy says seconds has no bucket in common with it, but for the unit.
def _other_unit(durations: Durations, own: Mapping[Decimal, Decimal], live: set[Decimal]) -> str:
    """The unit in which more of the bounds are there than in the policy's, or empty."""
    fit = sum(bound in live for bound in own.values())
    others = (unit for unit, scale in _SCALES.items() if sum(bound * scale in live for bound in own) > fit)
    return next((unit for unit in others if unit != durations.unit), "")


def compared(
    durations: Durations, live: set[Decimal], wanted: dict[Decimal, list[str]]
) -> Iterable[tuple[Grade, str, str]]:
    """What differs between a policy's bounds and those that are there, in the histogram's unit: grade, key, message.

    `wanted` has the limits, in seconds, with the alerts that are dead without a bucket there.
    """
    own = {bound: bound * durations.per_second for bound in durations.bounds}
    have = ", ".join(promql.number(bound) for bound in sorted(live))
    if unit := _other_unit(durations, own, live):
        yield Grade.FAULT, "unit", f"the buckets of {durations.metric} look like {unit}, not {durations.unit}: {have}"
        return
    for bound, alerts in wanted.items():
        if bound in own and own[bound] not in live:
            text = f"{durations.metric} has no bucket at {shown(bound)}; dead: {', '.join(alerts)}; it has: {have}"
            yield Grade.FAULT, "buckets", text
    others = [bound for bound, written in own.items() if written not in live and bound not in wanted]
    if others:
        text = f"{durations.metric} has no bucket at {', '.join(map(shown, others))}; it has: {have}"
        yield Grade.WARNING, "buckets", text


def numbers(texts: Iterable[str]) -> Iterable[Decimal]:
    """Those of the texts that are finite numbers, whatever their spelling."""
    for text in texts:
        try:
            number = Decimal(text)
        except InvalidOperation:
            continue
        # +Inf is in every histogram.
        if number.is_finite():
            # `0.5`, `0.50` and `5e-1` are one bound, written by three clients.
            yield number.normalize()
