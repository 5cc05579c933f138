"""When a policy's alerts would have fired in the time that has passed, and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.prometheus import Line, Prometheus
from deploywatch.quantity import format_duration
from deploywatch.rules import promql
from deploywatch.rules.live.inlining import Inliner
from deploywatch.rules.live.needs import needs
from deploywatch.rules.policy import Alert
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy

# Prometheus gives 11,000 points of a series at most.
_AT_ONCE = 10_000
"""Points of a series that one query asks for; Prometheus gives 11,000 at most."""
_LOOKS = 1000
"""So many looks find when the first sample was."""
_FINE = 15.0
"""Seconds between looks that are near enough."""
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that would have fired: for whom, and the Unix times between which it fired."""

    labels: dict[str, str]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Past:
    """What an alert would have done; `step` is how far the looks lie apart, `is_estimate` as the inliner says."""

    firings: tuple[Firing, ...]
    step: timedelta
    is_estimate: bool

    def is_noisy(self, over: timedelta) -> bool:
        """Whether nobody could live with it: more than once a day, or for more than a tenth of the time."""
        whole = sum(firing.end - firing.start for firing in self.firings)
        # More than once a day, or for a tenth of the time: people would learn to overlook it.
        return len(self.firings) > max(1, over / timedelta(days=1)) or whole > over.total_seconds() / 10

    def told(self, over: timedelta) -> str:
        """In words, with the services that it would have fired for."""
        if not self.firings:
            return f"would not have fired in the last {format_duration(over)}"
        count, whole = len(self.firings), sum(firing.end - firing.start for firing in self.firings)
        by: dict[str, int] = {}
        for firing in self.firings:
            who = f"{firing.labels.get(SERVICE, 'no service')} in {firing.labels.get(ENVIRONMENT, 'no environment')}"
            by[who] = by.get(who, 0) + 1
        times = "once" if count == 1 else f"{count} times"
        length = format_duration(timedelta(seconds=max(round(whole), int(self.step.total_seconds()))))
        whom = ", ".join(f"{who} {number}" if count > 1 else who for who, number in by.items())
        about = ", about" if self.is_estimate else ","
        return f"would have fired {times} in the last {format_duration(over)}{about} for {length} in all: {whom}"


async def known_since(prometheus: Prometheus, policy: ResolvedPolicy, *, now: float, over: timedelta) -> float | None:
    """The Unix time of the first sample of the policy's raw series since `over` before `now`; None where there is none.

    Before it nothing was measured, and what alerts on nothing would seem to have fired.
    """
    asked = " or ".join(
        f"count({promql.selector(metric, [])})" for metric in sorted({need.metric for need in needs(policy)})
    )
    if not asked:
        return now - over.total_seconds()
    start, end = now - over.total_seconds(), now
    # Twice: by looks that lie far apart, then between the first that finds something and the one before it.
    while end > start:
        step = max((end - start) / _LOOKS, 1.0)
        lines = await prometheus.query_range(asked, start=start, end=end, step=step)
        first = min((at for line in lines for at, _ in line.samples), default=None)
        if first is None or step <= _FINE:
            return first
        start, end = max(start, first - step), first
    return end


async def past(
    prometheus: Prometheus, policy: ResolvedPolicy, alert: ResolvedAlert, *, now: float, over: timedelta
) -> Past:
    """Ask for the alert's condition over the time before `now`, a Unix time; UnreachableError when not told."""
    inliner = Inliner(policy.given.policy, policy.records, policy.given.interval)
    expression = inliner.expression(alert.expression)
    step = max(policy.given.interval, _MINUTE)
    seconds, start = step.total_seconds(), now - over.total_seconds()
    lines: list[Line] = []
    while start <= now:
        end = min(now, start + (_AT_ONCE - 1) * seconds)
        lines += await prometheus.query_range(expression, start=start, end=end, step=seconds)
        start = end + seconds
    return Past(tuple(_firings(alert.given, lines, seconds)), step, inliner.is_estimate)


def _firings(alert: Alert, lines: Iterable[Line], step: float) -> Iterable[Firing]:
    """Runs of samples that last for long enough, joined where the alert is kept."""
    times: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for line in lines:
        labels = tuple(sorted((name, value) for name, value in line.labels.items() if name != "__name__"))
        times.setdefault(labels, []).extend(at for at, _ in line.samples)
    # `for` and `keep_firing_for` are Prometheus's own to reckon, and a query knows neither.
    wait, kept = alert.for_.total_seconds(), alert.keep_firing_for.total_seconds()
    for labels, seen in times.items():
        last: Firing | None = None
        for start, end in _runs(sorted(seen), step):
            if last is not None and start <= last.end:  # it is still kept firing
                last = Firing(last.labels, last.start, end + kept)
            elif end - start >= wait:
                if last is not None:
                    yield last
                last = Firing(dict(labels), start + wait, end + kept)
        if last is not None:
            yield last


def _runs(seen: list[float], step: float) -> Iterable[tuple[float, float]]:
    start = before = seen[0]
    for at in seen[1:]:
        # One and a half: samples are a step apart, and rounding must not break a run.
        if at - before > 1.5 * step:
            yield start, before
            start = at
        before = at
    yield start, before
