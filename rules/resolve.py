"""Resolves a policy: conditions to comparisons of signals, limits to series, signals to recording rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from deploywatch.rules import conditions, promql
from deploywatch.rules.comparison import Term, expression, term
from deploywatch.rules.conditions import deployments, thresholds
from deploywatch.rules.conditions.deployments import ON
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.judgement import delivery, health
from deploywatch.rules.language.expression import comparisons, operand
from deploywatch.rules.language.judgement import Anomaly, Health, Status, single
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.resolved import (
    ResolvedAlert,
    ResolvedAnomaly,
    ResolvedHealth,
    ResolvedPoints,
    ResolvedPolicy,
    ResolvedStatus,
    UsedSignal,
)
from deploywatch.rules.signals import known
from deploywatch.rules.signals.signal import Group, Record, Signal


def resolve(policy: Policy) -> ResolvedPolicy:
    """Resolve a policy that has been loaded, and so has no faults."""
    alerts = tuple(_alert(policy, alert) for alert in policy.alerts)
    judged = None if policy.health is None else _health(policy, policy.health)
    terms = [used for alert in alerts for used in alert.terms] + ([] if judged is None else list(judged.terms))
    watched = {text: term(policy, single(text)) for text in _watched(policy)}
    signals = _signals(policy, [*terms, *watched.values()])
    return ResolvedPolicy(policy, alerts, judged, watched, signals, _records(policy, alerts, judged, signals))


def _alert(policy: Policy, alert: Alert) -> ResolvedAlert:
    condition = alert.condition
    limits = thresholds.limits(policy, alert, condition)
    parts = tuple(comparisons(condition))
    compared = dict.fromkeys((*parts, *(limit.comparison for limit in limits)))
    joined = {comparison: term(policy, comparison, alert) for comparison in compared}
    terms = tuple(joined[limit.comparison] for limit in limits) or tuple(joined[comparison] for comparison in parts)
    threshold = thresholds.record(policy, alert, limits) if limits else None
    return ResolvedAlert(
        given=alert,
        condition=condition,
        limits=limits,
        terms=terms,
        threshold=threshold,
        expression=expression(policy, condition, joined)
        if threshold is None
        else _stepping(policy, terms, thresholds.series(policy, alert, threshold)),
        joined=joined,
    )


def _stepping(policy: Policy, terms: Sequence[Term], limit: str) -> str:
    """When an alert fires whose limits step, in PromQL: `limit` is its threshold series."""
    same = len({term.reading.record for term in terms}) == 1
    # Only where the recorded series is compared with the limit itself can the threshold be a series, too.
    if same and all(term.reading.threshold == term.comparison.quantity.value for term in terms):
        (record, operator) = (terms[0].reading.record, terms[0].comparison.operator)
        return f"{promql.recorded(policy, record)}\n{operator} {ON} group_left ()\n{limit}"
    # What is read may be another series for each limit, the share of requests above it; the threshold says which.
    return "\nor\n".join(
        f"({term.expression(policy)}\nand {ON}\n{limit} == {promql.constant(term.comparison.quantity.value)})"
        for term in terms
    )


def _health(policy: Policy, judged: Health) -> ResolvedHealth:
    def of(text: str) -> Term:
        return term(policy, single(text))

    def status(given: Status) -> ResolvedStatus:
        return ResolvedStatus(given, of(given.warning), of(given.critical))

    def anomaly(given: Anomaly) -> ResolvedAnomaly:
        return ResolvedAnomaly(given, of(given.medium), None if given.high is None else of(given.high))

    measured = judged.impact.measured if judged.impact is not None else ()
    return ResolvedHealth(
        given=judged,
        statuses=tuple(status(given) for given in judged.signals),
        impact=tuple(ResolvedPoints(given, term(policy, given.comparison)) for given in measured),
        anomalies=tuple(anomaly(given) for given in judged.anomalies),
    )


def _watched(policy: Policy) -> Iterator[str]:
    """What the verdict watches, and the gate asks of capacity: read from recorded series."""
    if policy.verdict is not None:
        yield from policy.verdict.watch
    yield from (requirement.that for requirement in policy.gate if requirement.that is not None)


def _signals(policy: Policy, terms: Sequence[Term]) -> dict[str, UsedSignal]:
    """The signals of these comparisons, and those that are observed without a limit."""
    bounds: dict[str, set[Decimal]] = {}
    used: dict[str, Signal] = {}
    for text in policy.observe:
        signal = conditions.signal(policy, operand(text))
        used.setdefault(signal.name, signal)
        bounds.setdefault(signal.name, set())
    for limit in terms:
        used.setdefault(limit.signal.name, limit.signal)
        bounds.setdefault(limit.signal.name, set()).add(limit.comparison.quantity.value)
    functions = [name for name, signal in used.items() if isinstance(signal, Derived)]
    plain = [name for name in known(policy.signals) if name in used]
    return {name: UsedSignal(used[name], tuple(sorted(bounds[name]))) for name in (*plain, *functions)}


def _records(
    policy: Policy,
    alerts: Sequence[ResolvedAlert],
    judged: ResolvedHealth | None,
    signals: Mapping[str, UsedSignal],
) -> tuple[Record, ...]:
    records: dict[object, Record] = {}
    for record in _needed(policy, alerts, judged, signals):
        # Two alerts may need one record: a group with a rule twice is refused by Prometheus.
        records.setdefault((record.name, *sorted(record.labels.items())), record)
    order = list(Group)
    return tuple(sorted(records.values(), key=lambda record: order.index(record.group)))


def _needed(
    policy: Policy,
    alerts: Sequence[ResolvedAlert],
    judged: ResolvedHealth | None,
    signals: Mapping[str, UsedSignal],
) -> Iterator[Record]:
    for used in signals.values():
        yield from used.signal.records(policy, used.bounds)
    for alert in alerts:
        if alert.threshold is not None:
            yield deployments.age(policy)
            yield alert.threshold
    if judged is not None:
        yield from health.records(policy, judged)
    if policy.delivery is not None:
        yield from delivery.records(policy, policy.delivery)
