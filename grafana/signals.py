"""A policy's signals as panels: their recorded series, their units, and the limits that its alerts set to them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.grafana.panels import Panel
from deploywatch.grafana.queries import SHOWN, Query, legend
from deploywatch.grafana.visualizations import COLORS, EARLIER, UNITS, WELL, Line, Lines, States
from deploywatch.rules import links, promql
from deploywatch.rules.comparison import Term
from deploywatch.rules.conditions import thresholds
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.conditions.view import plain
from deploywatch.rules.language.expression import Comparison
from deploywatch.rules.outputs import bucket_alerts
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy
from deploywatch.rules.signals import known
from deploywatch.rules.signals.service.latency import LatencyQuantile
from deploywatch.rules.signals.signal import Signal

BUSINESS = (
    *("conversion_ratio", "revenue", "user_sessions", "satisfaction", "complaints"),
    *("throughput", "throughput_per_minute", "queue_length"),
)
"""What the service is to its users and owners; then what says how much it is used."""


def measured(policy: ResolvedPolicy) -> tuple[Signal, ...]:
    """The signals that the policy records, those among them that others are functions of; in the registry's order."""
    there: dict[str, Signal] = {}
    for used in policy.signals.values():
        signal = used.signal
        parts = signal.parts if isinstance(signal, Derived) else (signal,)
        there |= {part.name: part for part in parts}
    # In one order for all policies, so that dashboards look alike.
    return tuple(there[name] for name in known(policy.given.signals) if name in there)


def compared(policy: ResolvedPolicy) -> tuple[Derived, ...]:
    """Those that are functions of others, such as `rise(latency_p95)`."""
    return tuple(used.signal for used in policy.signals.values() if isinstance(used.signal, Derived))


def business(policy: ResolvedPolicy) -> tuple[Signal, ...]:
    """Those that are measured and say what the service is to its users and owners."""
    return tuple(signal for signal in measured(policy) if signal.name in BUSINESS)


def business_compared(policy: ResolvedPolicy) -> tuple[Derived, ...]:
    """The functions of those."""
    return tuple(signal for signal in compared(policy) if signal.of.name in BUSINESS)


def recorded(policy: ResolvedPolicy, signal: Signal) -> str:
    """The recorded value of what the reader has chosen."""
    return promql.recorded(policy.given, signal.value(policy.given), SHOWN)


def legend_of(signal: Signal, suffix: str = "") -> str:
    """Which line is whose."""
    return legend((SERVICE, ENVIRONMENT, *signal.labels)) + suffix


def unit_of(signal: Signal) -> str:
    """The signal's unit, as Grafana has it."""
    return UNITS[signal.unit]


# A yes or no drawn as a line would suggest that there is something in between.
def is_state(signal: Signal) -> bool:
    """Whether the signal is 1 or 0."""
    return signal.domain.whole and signal.domain.highest == Decimal(1)


def panel(policy: ResolvedPolicy, signal: Signal) -> Panel:
    """The signal over time, with a line at each limit."""
    queries = (Query(recorded(policy, signal), legend_of(signal)), *_beside(policy, signal), *_stepping(policy, signal))
    title, about = title_of(signal), signal.about + _alerts_at(policy, signal)
    if is_state(signal):
        return Panel(title, about, queries, States(WELL))
    fixed = (
        _line(alert.given.severity, term.comparison)
        for alert, term in _limits(policy, signal)
        if alert.threshold is None
    )
    return Panel(title, about, queries, Lines(unit_of(signal), (*_judged(policy, signal), *fixed)))


def title_of(signal: Signal) -> str:
    """The signal's title, as a panel bears it."""
    return signal.title[:1].upper() + signal.title[1:]


def _limits(policy: ResolvedPolicy, signal: Signal) -> Iterator[tuple[ResolvedAlert, Term]]:
    """Every limit that the policy's alerts set to the signal, with its alert."""
    for alert in policy.alerts:
        yield from ((alert, term) for term in alert.terms if term.signal.name == signal.name)


def _beside(policy: ResolvedPolicy, signal: Signal) -> Iterator[Query]:
    """What is shown beside the value, dashed: the mean of all, where the worst of them is what counts."""
    for name, record in signal.beside(policy.given).items():
        yield Query(promql.recorded(policy.given, record, SHOWN), legend_of(signal, f" {name}"), dashed=EARLIER)


def _stepping(policy: ResolvedPolicy, signal: Signal) -> tuple[Query, ...]:
    """The threshold series that the alerts themselves read, dashed, in the colors of their severities."""
    queries: dict[str, Query] = {}
    for alert, _ in _limits(policy, signal):
        if alert.threshold is not None:
            name = alert.given.alert
            series = thresholds.series(policy.given, alert.given, alert.threshold, *SHOWN)
            line = f"{legend((SERVICE, ENVIRONMENT))} {name}"
            queries[name] = Query(series, line, dashed=COLORS[alert.given.severity])
    return tuple(queries.values())


def _judged(policy: ResolvedPolicy, signal: Signal) -> Iterator[Line]:
    """The limits from which the health score counts the signal as a warning, and as critical."""
    for status in policy.health.statuses if policy.health is not None else ():
        for term, severity in ((status.warning, "medium"), (status.critical, "critical")):
            if term.comparison.signal == signal.name:
                yield _line(severity, term.comparison)


def _line(severity: str, comparison: Comparison) -> Line:
    return Line(comparison.quantity.value, severity, fires_above=comparison.operator in {">", ">="})


def _linked(policy: ResolvedPolicy, alert: str) -> str:
    """The alert's name, as a link to its runbook where that is served; Grafana reads descriptions as Markdown."""
    url = links.runbook_url(policy.given, alert)
    return alert if url is None else f"[{alert}]({url})"


def _alerts_at(policy: ResolvedPolicy, signal: Signal) -> str:
    """Which alerts the limits belong to, in a sentence; nothing where there are none."""
    alerts = dict.fromkeys(alert.given.alert for alert, _ in _limits(policy, signal))
    limits = ", ".join(
        f"{_linked(policy, alert.given.alert)} at {term.comparison.operator} {term.comparison.written}"
        for alert, term in _limits(policy, signal)
    )
    sentence = f" Alerts: {limits}." if limits else ""
    by_bucket = isinstance(plain(signal), LatencyQuantile) and any(
        alert in bucket.alerts for bucket in bucket_alerts.needed(policy) for alert in alerts
    )
    if by_bucket:
        sentence += f" {_linked(policy, bucket_alerts.ALERT)} says when no bucket is there to tell."
    return sentence
