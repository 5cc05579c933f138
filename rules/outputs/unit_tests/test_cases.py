"""What an alert is tried with: values around each threshold, in each setting that its limits have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from deploywatch.rules.comparison import Term
from deploywatch.rules.conditions import thresholds
from deploywatch.rules.language.expression import Comparison, Condition, Every, alternatives, comparisons
from deploywatch.rules.outputs import alerting
from deploywatch.rules.policy import Policy
from deploywatch.rules.promql import sample_labels
from deploywatch.rules.resolved import ResolvedAlert

SAMPLE = "sample"
"""What every label beside service and environment says in tests."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The condition of an alert at a time, and the threshold series that say which time it is."""

    said: str
    condition: Condition
    given: dict[str, Decimal] = field(default_factory=dict)
    outside: bool = False
    """Whether no limit holds, so that nothing can make the alert fire."""


@dataclass(frozen=True, slots=True)
class Case:
    """Values of the recorded series, by name, and whether the alert's condition holds for them."""

    name: str
    setting: Setting
    values: dict[str, Decimal]
    holds: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """An alert that must come: its labels, and the values that its annotations can look up by them."""

    labels: dict[str, str]
    values: dict[str, Decimal]


def settings(policy: Policy, alert: ResolvedAlert) -> tuple[Setting, ...]:
    """One, or for limits that step one for each of them, and one for the time when none holds."""
    if alert.threshold is None:
        return (Setting("", alert.condition),)
    labels = [(name, "=", text) for name, text in sample_labels(policy).items()]
    series = thresholds.series(policy, alert.given, alert.threshold, *labels)
    within = [
        Setting(
            f" within {limit.window.said}" if limit.window is not None else " at any other time",
            limit.comparison,
            {series: thresholds.number(limit)},
        )
        for limit in alert.limits
    ]
    # As `within` may leave times without a limit, in which the alert must stay silent whatever the value.
    never = Setting(" while no limit holds", alert.condition, outside=True)
    return (*within, never)


def cases(policy: Policy, alert: ResolvedAlert) -> Iterator[Case]:
    """Around each threshold: below, at and above, in each setting; then no data."""
    seen: set[tuple[str, tuple[tuple[str, Decimal], ...]]] = set()
    for setting in settings(policy, alert):
        ways = alternatives(setting.condition)
        for way in ways:
            for comparison in way:
                others = _deciding(alert, setting, way, comparison)
                beside = _beside(comparison, way) if sum(comparison in other for other in ways) > 1 else ""
                tried = alert.joined[comparison]
                for where, value in tried.around().items():
                    values = others | {tried.reading.record: value}
                    name = f"{comparison.signal} {where} {comparison.written}{beside}{setting.said}"
                    key = (name, tuple(sorted(values.items())))
                    if key not in seen:
                        yield Case(name, setting, values, _true(alert, setting, values))
                    seen.add(key)
    yield Case("no data", settings(policy, alert)[0], {}, holds=False)


def setting_terms(alert: ResolvedAlert, setting: Setting) -> tuple[Term, ...]:
    """Every comparison of a setting, joined with its signal."""
    return tuple(alert.joined[comparison] for comparison in comparisons(setting.condition))


def expected(policy: Policy, alert: ResolvedAlert, setting: Setting, values: Mapping[str, Decimal]) -> list[Expected]:
    """One alert for each set of labels that the condition gives out for these values."""
    if setting.outside:
        return []
    alerts = []
    for more in _given_out(alert, setting.condition, values):
        labels = sample_labels(policy) | dict.fromkeys(more, SAMPLE) | alerting.own_labels(policy, alert.given)
        seen = {term.reading.record for term in alert.terms if set(term.signal.labels) <= set(more)}
        alerts.append(Expected(labels, {record: value for record, value in values.items() if record in seen}))
    return alerts


def example(policy: Policy, alert: ResolvedAlert, *, wanted: bool) -> tuple[Setting, dict[str, Decimal]]:
    """A setting and values, one for each series, for which the alert's condition holds, or does not."""
    setting = settings(policy, alert)[0]
    examples = {term.reading.record: term.example(holds=wanted) for term in setting_terms(alert, setting)}
    if _true(alert, setting, examples) is wanted:
        return setting, examples
    # Each limit by itself may be met and the whole not: where one signal stands in several, its examples collide.
    fitting = [
        case for case in cases(policy, alert) if case.holds is wanted and case.values and case.setting == setting
    ]
    return setting, examples | fitting[0].values


def _true(alert: ResolvedAlert, setting: Setting, values: Mapping[str, Decimal]) -> bool:
    return not setting.outside and alert.holds(setting.condition, values)


def _given_out(alert: ResolvedAlert, condition: Condition, values: Mapping[str, Decimal]) -> list[tuple[str, ...]]:
    """The labels beside service and environment of what the condition leaves: its left side's for an `and`."""
    if not alert.holds(condition, values):
        return []
    if isinstance(condition, Comparison):
        return [alert.joined[condition].signal.labels]
    if isinstance(condition, Every):
        return _given_out(alert, condition.parts[0], values)
    return list(dict.fromkeys(labels for part in condition.parts for labels in _given_out(alert, part, values)))


def _deciding(
    alert: ResolvedAlert, setting: Setting, way: Sequence[Comparison], decisive: Comparison
) -> dict[str, Decimal]:
    """Values of the other series that leave the answer to one comparison: what it needs holds, nothing else does."""
    mine = alert.joined[decisive].reading.record
    needed = {term.reading.record: term for term in (alert.joined[comparison] for comparison in way)}
    values = {record: term.example(holds=True) for record, term in needed.items()}
    others: dict[str, list[Term]] = {}
    for term in setting_terms(alert, setting):
        if term.reading.record not in needed:
            others.setdefault(term.reading.record, []).append(term)
    for record, alike in others.items():
        tried = [value for term in alike for value in term.examples()]
        # The rest must not help: a case is decided by the one comparison that it is about.
        values[record] = next(value for value in tried if not any(term.holds(value) for term in alike))
    return {record: value for record, value in values.items() if record != mine}


def _beside(comparison: Comparison, way: Sequence[Comparison]) -> str:
    """What must hold too, for a comparison that decides in more than one way."""
    return " with " + " and ".join(str(other) for other in way if other != comparison)
