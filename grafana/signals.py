"""A policy's signals as panels: their recorded series, their units, and the limits that its alerts set to them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from deploywatch.conventions import SERVICE
from grafana.looks import UNITS, WELL, Line, Lines, States
from grafana.panels import Panel
from grafana.queries import SHOWN, Query, legend
from rules import promql, recording
from rules.policy import Policy
from rules.signals.signal import Signal
from rules.terms import Term, terms

_BUSINESS = (
    *("conversion_ratio", "revenue", "user_sessions", "satisfaction", "complaints"),
    *("throughput", "throughput_per_minute", "queue_length"),
)
"""What the service is to its users and owners; then what says how much it is used."""


def used(policy: Policy) -> tuple[Signal, ...]:
    """The signals that the policy records, in the registry's order."""
    return tuple(signal for signal, _ in recording.signals(policy).values())


def measured(policy: Policy) -> tuple[Signal, ...]:
    """Those that are measured."""
    return tuple(signal for signal in used(policy) if "(" not in signal.name)


def compared(policy: Policy) -> tuple[Signal, ...]:
    """Those that are functions of others, such as `rise(latency_p95)`."""
    return tuple(signal for signal in used(policy) if "(" in signal.name)


def business(policy: Policy) -> tuple[Signal, ...]:
    """Those that say what the service is to its users and owners."""
    return tuple(signal for signal in used(policy) if signal.name in _BUSINESS)


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
    queries = (Query(recorded(policy, signal), legend_of(signal)),)
    title = title_of(signal)
    if is_state(signal):
        return Panel(title, signal.about + _told(policy, signal), queries, States(WELL))
    limits = tuple(_line(severity, one) for severity, _, one in _limits(policy, signal))
    return Panel(title, signal.about + _told(policy, signal), queries, Lines(unit_of(signal), limits))


def title_of(signal: Signal) -> str:
    """The signal's title, as a panel bears it."""
    return signal.title[:1].upper() + signal.title[1:]


def _limits(policy: Policy, signal: Signal) -> Iterator[tuple[str, str, Term]]:
    """Severity, alert and comparison of every limit that the policy sets to the signal."""
    for alert in policy.alerts:
        for one in terms(policy, alert):
            if one.signal.name == signal.name:
                yield alert.severity, alert.alert, one


def _line(severity: str, one: Term) -> Line:
    return Line(one.comparison.quantity.value, severity, fires_above=one.comparison.operator in {">", ">="})


def _told(policy: Policy, signal: Signal) -> str:
    limits = ", ".join(
        f"{name} at {one.comparison.operator} {one.comparison.written}" for _, name, one in _limits(policy, signal)
    )
    return f" Alerts: {limits}." if limits else ""
