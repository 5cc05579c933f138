"""A policy's signals as panels: their recorded series, their units, and the limits that its alerts set to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from deploywatch.conventions import SERVICE
from deploywatch.grafana.panels import Panel
from deploywatch.grafana.queries import SHOWN, Query, legend
from deploywatch.grafana.visualizations import COLORS, UNITS, WELL, Line, Lines, States
from deploywatch.rules import promql
from deploywatch.rules.comparison import Term, terms
from deploywatch.rules.conditions import thresholds
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.language.expression import Comparison
from deploywatch.rules.language.judgement import single
from deploywatch.rules.outputs import recording
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.signals import known
from deploywatch.rules.signals.signal import Signal

BUSINESS = (
    *("conversion_ratio", "revenue", "user_sessions", "satisfaction", "complaints"),
    *("throughput", "throughput_per_minute", "queue_length"),
)
"""What the service is to its users and owners; then what says how much it is used."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the dashboards of a policy ask of its rules again and again."""

    signals: tuple[Signal, ...]
    records: Mapping[str, str]
    limits: tuple[tuple[str, Alert, Term], ...]


class _Same:
    """A policy told apart by identity: it has no hash of its own."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.policy is other.policy

    def __hash__(self) -> int:
        return id(self.policy)


def found(policy: Policy) -> Found:
    """The signals, the recorded series with what they are, and severity, alert and comparison of every limit."""
    return _found(_Same(policy))


@lru_cache(maxsize=8)
def _found(same: _Same) -> Found:
    policy = same.policy
    return Found(
        tuple(signal for signal, _ in recording.signals(policy).values()),
        {record.name: record.about for record in recording.records(policy)},
        tuple((alert.severity, alert, one) for alert in policy.alerts for one in terms(policy, alert)),
    )


def measured(policy: Policy) -> tuple[Signal, ...]:
    """The signals that the policy records, those among them that others are functions of; in the registry's order."""
    there: dict[str, Signal] = {}
    for signal in _used(policy):
        parts = signal.parts if isinstance(signal, Derived) else (signal,)
        there |= {part.name: part for part in parts}
    return tuple(there[name] for name in known(policy.signals) if name in there)


def compared(policy: Policy) -> tuple[Derived, ...]:
    """Those that are functions of others, such as `rise(latency_p95)`."""
    return tuple(signal for signal in _used(policy) if isinstance(signal, Derived))


def business(policy: Policy) -> tuple[Signal, ...]:
    """Those that are measured and say what the service is to its users and owners."""
    return tuple(signal for signal in measured(policy) if signal.name in BUSINESS)


def business_compared(policy: Policy) -> tuple[Derived, ...]:
    """The functions of those."""
    return tuple(signal for signal in compared(policy) if signal.of.name in BUSINESS)


def _used(policy: Policy) -> tuple[Signal, ...]:
    return found(policy).signals


def recorded(policy: Policy, signal: Signal) -> str:
    """The recorded value of what the reader has chosen."""
    return promql.recorded(policy, signal.value(policy), SHOWN)


def legend_of(signal: Signal, suffix: str = "") -> str:
    """Which line is whose."""
    return legend((SERVICE, *signal.labels)) + suffix


def unit_of(signal: Signal) -> str:
    """The signal's unit, as Grafana has it."""
    return UNITS[signal.unit]


def is_state(signal: Signal) -> bool:
    """Whether the signal is 1 or 0."""
    return signal.domain.whole and signal.domain.highest == Decimal(1)


def panel(policy: Policy, signal: Signal) -> Panel:
    """The signal over time, with a line at each limit."""
    queries = (Query(recorded(policy, signal), legend_of(signal)), *_stepping(policy, signal))
    title = title_of(signal)
    if is_state(signal):
        return Panel(title, signal.about + _told(policy, signal), queries, States(WELL))
    limits = (
        *_judged(policy, signal),
        *(_line(severity, one) for severity, alert, one in _limits(policy, signal) if not _steps(policy, alert)),
    )
    return Panel(title, signal.about + _told(policy, signal), queries, Lines(unit_of(signal), limits))


def title_of(signal: Signal) -> str:
    """The signal's title, as a panel bears it."""
    return signal.title[:1].upper() + signal.title[1:]


def _limits(policy: Policy, signal: Signal) -> Iterator[tuple[str, Alert, Term]]:
    """Severity, alert and comparison of every limit that the policy's alerts set to the signal."""
    yield from (limit for limit in found(policy).limits if limit[2].signal.name == signal.name)


def _steps(policy: Policy, alert: Alert) -> bool:
    """Whether the alert's limit depends on how long ago a deployment was."""
    return bool(thresholds.limits(policy, alert))


def _stepping(policy: Policy, signal: Signal) -> tuple[Query, ...]:
    """The threshold series that the alerts themselves read, dashed, in the colors of their severities."""
    alerts = {alert.alert: alert for _, alert, _ in _limits(policy, signal) if _steps(policy, alert)}
    return tuple(
        Query(thresholds.series(policy, alert, *SHOWN), f"{{{{{SERVICE}}}}} {name}", dashed=COLORS[alert.severity])
        for name, alert in alerts.items()
    )


def _judged(policy: Policy, signal: Signal) -> Iterator[Line]:
    """The limits from which the health score counts the signal as a warning, and as critical."""
    for status in policy.health.signals if policy.health is not None else ():
        for text, severity in ((status.warning, "medium"), (status.critical, "critical")):
            one = single(text)
            if one.signal == signal.name:
                yield _drawn(severity, one)


def _line(severity: str, one: Term) -> Line:
    return _drawn(severity, one.comparison)


def _drawn(severity: str, one: Comparison) -> Line:
    return Line(one.quantity.value, severity, fires_above=one.operator in {">", ">="})


def _told(policy: Policy, signal: Signal) -> str:
    limits = ", ".join(
        f"{alert.alert} at {one.comparison.operator} {one.comparison.written}"
        for _, alert, one in _limits(policy, signal)
    )
    return f" Alerts: {limits}." if limits else ""
