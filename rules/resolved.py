"""A policy resolved: each condition a tree, each comparison joined with its signal, each limit and series known.

`resolve` makes it once; whatever is built from a policy reads it, and derives nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from deploywatch.rules.comparison import Term
from deploywatch.rules.conditions.thresholds import Limit
from deploywatch.rules.language.expression import Comparison, Condition, Every
from deploywatch.rules.language.judgement import Anomaly, Health, Points, Status
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.signals.signal import Record, Signal


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedAlert:
    """An alert as it is given, and what follows from its condition."""

    given: Alert
    condition: Condition
    limits: tuple[Limit, ...]
    """Limits that step with a deployment, in the order in which they are tried; none where there is but one limit."""
    terms: tuple[Term, ...]
    """Every comparison from left to right; of limits that step, each."""
    threshold: Record | None
    """The series that says which limit holds, where limits step."""
    expression: str
    """When the alert fires, in PromQL."""
    joined: Mapping[Comparison, Term]
    """Each comparison of the condition and of the limits, joined with its signal."""

    @property
    def is_compound(self) -> bool:
        """Whether the condition has more than one comparison."""
        return not isinstance(self.condition, Comparison)

    def holds(self, condition: Condition, values: Mapping[str, Decimal]) -> bool:
        """Whether a condition of this alert is true of these values of recorded series; without one it is not."""
        if isinstance(condition, Comparison):
            term = self.joined[condition]
            return term.reading.record in values and term.holds(values[term.reading.record])
        results = (self.holds(part, values) for part in condition.parts)
        return all(results) if isinstance(condition, Every) else any(results)


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedStatus:
    """When a signal is at warning, and when it is critical."""

    given: Status
    warning: Term
    critical: Term

    @property
    def name(self) -> str:
        """The signal that the status is about, as it is written."""
        return self.critical.comparison.signal


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedPoints:
    """Points of impact, and the signal that they are given for."""

    given: Points
    term: Term


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedAnomaly:
    """The limits of an anomaly."""

    given: Anomaly
    medium: Term
    high: Term | None

    @property
    def limits(self) -> tuple[Term, ...]:
        """The limit of a medium anomaly, and that of a high one, if any."""
        return (self.medium,) if self.high is None else (self.medium, self.high)

    @property
    def name(self) -> str:
        """The signal that it is about, as it is written."""
        return self.medium.comparison.signal


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedHealth:
    """How a deployment's health is judged."""

    given: Health
    statuses: tuple[ResolvedStatus, ...]
    impact: tuple[ResolvedPoints, ...]
    anomalies: tuple[ResolvedAnomaly, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """Every comparison."""
        return (
            *(term for status in self.statuses for term in (status.warning, status.critical)),
            *(points.term for points in self.impact),
            *(term for anomaly in self.anomalies for term in anomaly.limits),
        )


@dataclass(frozen=True, slots=True)
class UsedSignal:
    """A signal that a policy uses, and the bounds that it is compared with, ascending, in its base unit."""

    signal: Signal
    bounds: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedPolicy:
    """A policy as it is given, and all that follows from its conditions."""

    given: Policy
    alerts: tuple[ResolvedAlert, ...]
    health: ResolvedHealth | None
    watched: Mapping[str, Term]
    """What the verdict watches, and the gate asks of capacity, as it is written."""
    signals: Mapping[str, UsedSignal]
    """Every signal that is used, by name: in the registry's order, functions of others last."""
    records: tuple[Record, ...]
    """Every recording rule, group by group, after those that it depends on."""
