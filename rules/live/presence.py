"""Checks that what a policy reads is there: metrics, their types, the labels and values that it selects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from itertools import product

from deploywatch.config import nearest
from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.rules import promql
from deploywatch.rules.language.selectors import Selector
from deploywatch.rules.live.findings import Finding, Grade
from deploywatch.rules.live.needs import Need, label_of, needs
from deploywatch.rules.policy import Policy
from deploywatch.rules.requirements import demands, unmet, untried
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.requests import Dependencies, Measured, Probes, Queues, Requests
from deploywatch.rules.series.resources import Conversions, Cpu, DiskTimes, Network

_COUNTERS: tuple[type[Measured], ...] = (Requests, Cpu, Conversions, DiskTimes, Network)
_MOST = 12
"""Values that a message names."""


async def check(prometheus: Prometheus, policy: ResolvedPolicy) -> AsyncIterator[Finding]:
    """Everything that is missing, metric by metric."""
    version = await _version(prometheus, policy.given)
    if (fault := unmet(policy.given, version)) is not None:
        yield Finding(Grade.FAULT, ("series",), fault)
        return
    if (warning := untried(version)) is not None:
        yield Finding(Grade.WARNING, (), warning)
    for need in needs(policy):
        there = await counted(prometheus, f"count({promql.selector(need.metric, [])})")
        if not there:
            yield Finding(Grade.FAULT, ("series", need.key), await _missing(prometheus, need))
            continue
        async for finding in _types(prometheus, need):
            yield finding
        async for finding in _labels(prometheus, policy.given, need):
            yield finding


async def _version(prometheus: Prometheus, policy: Policy) -> str:
    """What the server says of itself; where nothing depends on it, one that does not say is asked all the same."""
    try:
        return await prometheus.version()
    except UnreachableError:
        if demands(policy):
            raise
        return ""


async def by_label(prometheus: Prometheus, label: str, vector: str) -> dict[str, float]:
    """How many series each value of a label has; the value "" stands for series without it."""
    return {
        series.labels.get(label, ""): series.value
        for series in await prometheus.query(f"count by ({promql.name(label)}) ({vector})")
    }


async def counted(prometheus: Prometheus, expression: str) -> float:
    """The sum of what an expression answers; 0 for nothing."""
    return sum(series.value for series in await prometheus.query(expression))


async def _missing(prometheus: Prometheus, need: Need) -> str:
    if await counted(prometheus, f"count(last_over_time({promql.selector(need.metric, [])}[1w]))"):
        return f"nothing exposes {need.metric} any more, though there were samples within the last week{need.concerns}"
    base = need.source.metric
    if need.metric == f"{base}_bucket" and await counted(
        prometheus, " or ".join(f"count({promql.selector(metric, [])})" for metric in (base, f"{base}_count"))
    ):
        return f"{base} has no buckets: it is a summary, or a native histogram; say which{need.concerns}"
    buckets = f"count({promql.selector(f'{base}_bucket', [])})"
    if isinstance(need.source, Durations) and need.metric == base and await counted(prometheus, buckets):
        wanted = "a summary with quantiles" if need.source.quantiles else "a native histogram"
        return f"{base} is a histogram with buckets, and not {wanted}; write its `buckets`{need.concerns}"
    names = await prometheus.label_values("__name__")
    return f"there is no {need.metric}{nearest(need.metric, names) if names else ''}".partition("; known")[0] + (
        need.concerns
    )


async def _types(prometheus: Prometheus, need: Need) -> AsyncIterator[Finding]:
    base = need.source.metric
    wanted = need.source.type if isinstance(need.source, Durations) else None
    wanted = "counter" if isinstance(need.source, _COUNTERS) else wanted
    if wanted is None:
        return
    declared = await prometheus.metadata(base if wanted == "histogram" else need.metric)
    types = {kind for kinds in declared.values() for kind in kinds} - {"unknown", "untyped"}
    if not types and wanted == "counter":
        # OpenMetrics declares a counter without its suffix.
        declared = await prometheus.metadata(need.metric.removesuffix("_total"))
        types = {kind for kinds in declared.values() for kind in kinds} - {"unknown", "untyped"}
    if types and wanted not in types and not (wanted == "counter" and need.metric.endswith("_count")):
        text = f"{need.metric} is declared to be a {' and a '.join(sorted(types))}; a {wanted} is needed"
        yield Finding(Grade.FAULT, ("series", need.key, "metric"), text)


async def _labels(prometheus: Prometheus, policy: Policy, need: Need) -> AsyncIterator[Finding]:
    faults = [fault async for fault in _chosen(prometheus, policy, need)]
    for fault in faults:
        yield fault
    for label in _own_labels(need.source):
        if set(await by_label(prometheus, label, promql.selector(need.metric, []))) == {""}:
            yield Finding(Grade.FAULT, ("series", need.key), f"{need.metric} has no label {label!r}")
    if isinstance(need.source, Requests):
        async for finding in _outcomes(prometheus, policy, need, need.source):
            yield finding
    if not any(fault.grade is Grade.FAULT for fault in faults):
        async for finding in _named(prometheus, policy, need):
            yield finding


async def _chosen(prometheus: Prometheus, policy: Policy, need: Need) -> AsyncIterator[Finding]:
    """The labels that tell services apart and that the policy selects by."""
    for ours in dict.fromkeys((SERVICE, ENVIRONMENT, *policy.selectors)):
        label = label_of(need, ours)
        if label is None:
            continue
        values = await by_label(prometheus, label, promql.selector(need.metric, []))
        if set(values) == {""}:
            yield Finding(Grade.FAULT, ("series", need.key), await _label_missing(prometheus, need, ours, label))
        elif "" in values:
            text = f"{values['']:.0f} of the series {need.metric} lack the label {label!r}"
            yield Finding(Grade.WARNING, ("series", need.key), text)
        selector = policy.selectors.get(ours)
        if selector is not None and not await counted(prometheus, f"count({_selected(need.metric, label, selector)})"):
            there = f"no series {need.metric} has {label} {selector.pattern!r}; there are: {some(values)}"
            yield Finding(Grade.FAULT, ("selectors", ours), there + need.concerns)


async def _label_missing(prometheus: Prometheus, need: Need, ours: str, label: str) -> str:
    sample = await prometheus.query(f"topk(1, {promql.selector(need.metric, [])})")
    known = sorted(name for series in sample for name in series.labels if name != "__name__")
    hint = f"; write `labels: {{{ours}: …}}` with one of {', '.join(known)}, or {{always: …}}" if known else ""
    return f"{need.metric} has no label {label!r}, which tells {ours}s apart{hint}"


async def _outcomes(prometheus: Prometheus, policy: Policy, need: Need, requests: Requests) -> AsyncIterator[Finding]:
    """Whether the label of outcomes has values of the kind that the policy expects."""
    values = await by_label(prometheus, requests.status, promql.raw(policy, requests))
    if not values or set(values) == {""}:
        return  # said already
    failing = await by_label(
        prometheus, requests.status, promql.raw(policy, requests, matchers=[(requests.status, "=~", requests.errors)])
    )
    if failing.keys() == values.keys():
        text = f"every value of {requests.status} counts as an error: {some(values)}"
        yield Finding(Grade.FAULT, ("series", need.key, "errors"), text)
    elif not failing and not any(len(value) == len(requests.failing) for value in values):
        text = f"no value of {requests.status} looks like {requests.failing!r}; there are: {some(values)}"
        yield Finding(Grade.FAULT, ("series", need.key, "errors"), text)
    elif not failing:
        text = f"no series of errors yet ({requests.status}=~{requests.errors!r}); seen: {some(values)}"
        yield Finding(Grade.NOTE, ("series", need.key, "errors"), text)


async def _named(prometheus: Prometheus, policy: Policy, need: Need) -> AsyncIterator[Finding]:
    """Services and environments that the policy names and that have no such series."""
    chosen = {ours: policy.selectors[ours].values for ours in (SERVICE, ENVIRONMENT) if ours in policy.selectors}
    if not all(chosen.values()) or not chosen:
        return
    named = {ours: label_of(need, ours) for ours in chosen}
    chosen = {ours: values for ours, values in chosen.items() if named[ours] is not None}
    labels = [label for label in named.values() if label is not None]
    there = {
        tuple(series.labels.get(label, "") for label in labels)
        for series in await prometheus.query(
            f"count by ({', '.join(map(promql.name, labels))}) ({promql.selector(need.metric, [])})"
        )
    }
    gone = [" in ".join(combination) for combination in product(*chosen.values()) if combination not in there]
    if gone:
        text = f"no {need.metric} of {', '.join(gone)}; silent for them: {', '.join(need.alerts) or 'nothing'}"
        yield Finding(Grade.WARNING, ("series", need.key), text)


def _own_labels(source: Measured) -> tuple[str, ...]:
    match source:
        case Requests():
            return (source.status,)
        case Probes():
            return (source.probe,)
        case Queues():
            return (source.queue_id,)
        case Dependencies():
            return (source.depends_on,)
    return ()


def _selected(metric: str, label: str, selector: Selector) -> str:
    return promql.selector(metric, [(label, *selector.operand())])


def some(values: Mapping[str, float]) -> str:
    """The values, the first of many."""
    named = sorted(value or "(none)" for value in values)
    more = f" and {len(named) - _MOST} more" if len(named) > _MOST else ""
    return ", ".join(named[:_MOST]) + more
