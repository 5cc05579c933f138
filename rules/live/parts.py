"""Checks that the parts of series that a policy or one of its alerts chooses are there: labels, values, roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from deploywatch.files.document import Path
from deploywatch.prometheus import Prometheus
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.conditions.view import View
from deploywatch.rules.live.findings import Finding, Grade
from deploywatch.rules.live.needs import metrics, needs
from deploywatch.rules.live.presence import by_label, counted, some
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.requests import Measured, Requests
from deploywatch.rules.signals.signal import Signal


@dataclass(frozen=True, slots=True)
class _Part:
    """Series of one metric that are chosen: by whom, where that is written, and who is silent without them."""

    source: Measured
    metric: str
    path: Path
    concerns: str
    role: str | None = None


async def check(prometheus: Prometheus, policy: ResolvedPolicy) -> AsyncIterator[Finding]:
    """Each part once; of a metric that is not there, nothing is said here."""
    reported = set[Finding]()
    for part in (*_of_series(policy), *_of_alerts(policy)):
        if not await counted(prometheus, f"count({promql.selector(part.metric, [])})"):
            continue
        async for finding in _missing(prometheus, part):
            if finding not in reported:
                reported.add(finding)
                yield finding


def _of_series(policy: ResolvedPolicy) -> Iterator[_Part]:
    for need in needs(policy):
        if need.source.counted or need.source.excluded:
            yield _Part(need.source, need.metric, ("series", need.key), need.concerns)


def _of_alerts(policy: ResolvedPolicy) -> Iterator[_Part]:
    for number, alert in enumerate(policy.alerts):
        for view in (view for term in alert.terms for view in _views(term.signal)):
            series = view.seen(policy.given).series
            for kind in view.of.needs:
                source = series.of(kind)
                for metric in metrics(source, means=False):
                    path = ("series", series.key(kind), "control") if view.part.role else ("alerts", number)
                    yield _Part(source, metric, path, f"; silent: {alert.given.alert}", view.part.role)


def _views(signal: Signal) -> Iterator[View]:
    if isinstance(signal, View):
        yield signal
    elif isinstance(signal, Derived):
        for part in signal.parts:
            yield from _views(part)


async def _missing(prometheus: Prometheus, part: _Part) -> AsyncIterator[Finding]:
    for label, wanted in part.source.counted.items():
        values = await by_label(prometheus, label, promql.selector(part.metric, []))
        if set(values) == {""}:
            text = f"{part.metric} has no label {label!r}, by which it is chosen{part.concerns}"
            yield Finding(Grade.FAULT, _key(part, "only"), text)
        elif gone := [value for value in wanted if value not in values]:
            yield _without(part, label, gone, values)
    if part.source.excluded and not await counted(
        prometheus, f"count({promql.selector(part.metric, part.source.chosen)})"
    ):
        everything = promql.selector(part.metric, [matcher for matcher in part.source.chosen if matcher[1] != "!~"])
        if await counted(prometheus, f"count({everything})"):
            patterns = ", ".join(f"{label} {pattern!r}" for label, pattern in part.source.excluded.items())
            text = f"every series {everything} is left out by {patterns}{part.concerns}"
            yield Finding(Grade.FAULT, _key(part, "excluding"), text)


def _without(part: _Part, label: str, gone: list[str], values: Mapping[str, float]) -> Finding:
    """Values that are not there: a canary comes and goes, and anything else is meant to be there."""
    text = f"no series {part.metric} has {label} {' or '.join(map(repr, gone))}; there are: {some(values)}"
    control = part.source.control if isinstance(part.source, Requests | Durations) else None
    if part.role == "canary" and control is not None and gone == [control.new]:
        return Finding(Grade.NOTE, _key(part, "new"), f"{text}; a canary is there only while one is deployed")
    some_left = len(gone) < len(part.source.counted[label])
    grade = Grade.WARNING if some_left else Grade.FAULT
    return Finding(grade, _key(part, "only"), text + ("" if some_left else part.concerns))


def _key(part: _Part, key: str) -> Path:
    return part.path if part.role else (*part.path, key)
