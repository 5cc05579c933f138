"""promtool tests of each alert around its thresholds, on recorded series put in by hand, so that values are exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from deploywatch.quantity import format_duration
from rules import alerting, promql
from rules.emit import Remarked
from rules.expression import Comparison, Condition, Every, comparisons
from rules.policy import Alert, Policy
from rules.terms import Term, holds, term, terms

_SAMPLE = "sample"
_AFTER = 3
"""How many evaluations a test goes on after the alert fires."""


@dataclass(frozen=True, slots=True)
class Case:
    """Values of the recorded series, by name, and whether the alert's condition holds for them."""

    name: str
    values: dict[str, Decimal]
    holds: bool


def cases(policy: Policy, alert: Alert) -> Iterator[Case]:
    """Around each threshold: below, at and above; then a condition that ends; then no data."""
    seen = set()
    for one in terms(policy, alert):
        others = _deciding(policy, alert.condition, one)
        for where, value in one.around().items():
            values = others | {one.reading.record: value}
            case = Case(
                f"{one.comparison.signal} {where} {one.comparison.written}", values, _true(policy, alert, values)
            )
            if case.name not in seen:
                yield case
            seen.add(case.name)
    yield Case("no data", {}, holds=False)


def tests(policy: Policy, alerts_file: str) -> dict[str, Any]:
    """The file of boundary tests, as data."""
    entries = [entry for alert in policy.alerts for entry in _of_alert(policy, alert)]
    interval = promql.duration(policy.interval)
    return {"rule_files": [alerts_file], "evaluation_interval": interval, "tests": entries}


def _of_alert(policy: Policy, alert: Alert) -> Iterator[Any]:
    for case in cases(policy, alert):
        yield _firing(policy, alert, case) if case.holds else _silent(policy, alert, case)
    yield _ending(policy, alert)


def _silent(policy: Policy, alert: Alert, case: Case) -> Any:
    at = _evaluations(policy, alert) + _AFTER
    return _entry(
        policy,
        alert,
        f"{case.name}: silent",
        series={record: f"{promql.number(value)}x{at}" for record, value in case.values.items()},
        expressions=[_states(policy, alert, at, "firing", {})],
        alerts=[_fired(policy, alert, at, {})],
    )


def _firing(policy: Policy, alert: Alert, case: Case) -> Any:
    at = _evaluations(policy, alert)
    said = f"pending, and after {format_duration(at * policy.interval)} firing" if at else "firing at once"
    before = [_states(policy, alert, at - 1, "pending", case.values)] if at else []
    return _entry(
        policy,
        alert,
        f"{case.name}: {said}",
        series={record: f"{promql.number(value)}x{at + _AFTER}" for record, value in case.values.items()},
        expressions=[*before, _states(policy, alert, at, "firing", case.values)],
        alerts=[_fired(policy, alert, at, case.values)],
    )


def _ending(policy: Policy, alert: Alert) -> Any:
    bad, good = _example(policy, alert, wanted=True), _example(policy, alert, wanted=False)
    at = _evaluations(policy, alert)
    return _entry(
        policy,
        alert,
        "good, then bad for long enough, then good again: fires only while it is bad",
        series={record: _three(good[record], bad[record], at) for record in bad},
        expressions=[
            _states(policy, alert, 0, "pending", {}),
            _states(policy, alert, at + 1, "firing", bad),
            _states(policy, alert, at + 2, "firing", {}),
        ],
        alerts=[],
    )


def _three(good: Decimal, bad: Decimal, at: int) -> str:
    """One good sample, `at` + 1 bad ones, then good ones."""
    fine = promql.number(good)
    return f"{fine} {promql.number(bad)}x{at} {fine}x{_AFTER}"


def _entry(
    policy: Policy,
    alert: Alert,
    name: str,
    *,
    series: Mapping[str, str],
    expressions: list[dict[str, Any]],
    alerts: list[dict[str, Any]],
) -> Any:
    inputs = [
        {"series": _series(policy, one), "values": series[one.reading.record]}
        for one in {one.reading.record: one for one in terms(policy, alert)}.values()
        if one.reading.record in series
    ]
    entry: dict[str, Any] = {
        "name": f"{alert.alert}: {name}",
        "interval": promql.duration(policy.interval),
        "input_series": inputs,
    }
    if alerts:
        entry["alert_rule_test"] = alerts
    return Remarked((alert.when,), entry | {"promql_expr_test": expressions})


def _series(policy: Policy, one: Term) -> str:
    labels = promql.sample_labels(policy) | dict.fromkeys(one.signal.labels, _SAMPLE)
    return promql.recorded(policy, one.reading.record, [(name, "=", value) for name, value in labels.items()])


def _states(policy: Policy, alert: Alert, at: int, state: str, values: Mapping[str, Decimal]) -> dict[str, Any]:
    """What ALERTS has to say of the alert after `at` intervals: its alerts for these values, all in this state."""
    samples = []
    for one in _expected(policy, alert, values):
        names = {"alertname": alert.alert, "alertstate": state} | one.labels
        matchers = [(name, "=", value) for name, value in sorted(names.items())]
        samples.append({"labels": promql.selector("ALERTS", matchers), "value": 1})
    return {
        "expr": promql.selector("ALERTS", [("alertname", "=", alert.alert)]),
        "eval_time": promql.duration(at * policy.interval),
        "exp_samples": samples,
    }


def _fired(policy: Policy, alert: Alert, at: int, values: Mapping[str, Decimal]) -> dict[str, Any]:
    """What reaches Alertmanager after `at` intervals."""
    expected = [
        {
            "exp_labels": one.labels,
            "exp_annotations": alerting.rendered(policy, alert, one.labels, one.values),
        }
        for one in _expected(policy, alert, values)
    ]
    return {"eval_time": promql.duration(at * policy.interval), "alertname": alert.alert, "exp_alerts": expected}


@dataclass(frozen=True, slots=True)
class _Expected:
    """An alert that must come: its labels, and the values that its annotations can look up by them."""

    labels: dict[str, str]
    values: dict[str, Decimal]


def _expected(policy: Policy, alert: Alert, values: Mapping[str, Decimal]) -> list[_Expected]:
    """One alert for each set of labels that the condition gives out for these values."""
    found = []
    for more in _given_out(policy, alert.condition, values):
        labels = promql.sample_labels(policy) | dict.fromkeys(more, _SAMPLE) | alerting.own_labels(policy, alert)
        seen = {one.reading.record for one in terms(policy, alert) if set(one.signal.labels) <= set(more)}
        found.append(_Expected(labels, {record: value for record, value in values.items() if record in seen}))
    return found


def _given_out(policy: Policy, condition: Condition, values: Mapping[str, Decimal]) -> list[tuple[str, ...]]:
    """The labels beside service and environment of what the condition leaves: its left side's for an `and`."""
    if not holds(policy, condition, values):
        return []
    if isinstance(condition, Comparison):
        return [term(policy, condition).signal.labels]
    if isinstance(condition, Every):
        return _given_out(policy, condition.parts[0], values)
    return list(dict.fromkeys(one for part in condition.parts for one in _given_out(policy, part, values)))


def _evaluations(policy: Policy, alert: Alert) -> int:
    """After how many intervals a condition that stays true fires: `for`, up to a whole number of them."""
    return -(-alert.for_ // policy.interval)


def _true(policy: Policy, alert: Alert, values: Mapping[str, Decimal]) -> bool:
    return holds(policy, alert.condition, values)


def _deciding(policy: Policy, condition: Condition, decisive: Term) -> dict[str, Decimal]:
    """Values of the other series that leave the answer to one term: true beside it in an `and`, false in an `or`."""
    if isinstance(condition, Comparison):
        return {}
    values: dict[str, Decimal] = {}
    for part in condition.parts:
        if any(one == decisive.comparison for one in comparisons(part)):
            values |= _deciding(policy, part, decisive)
        else:
            for one in comparisons(part):
                found = term(policy, one)
                values[found.reading.record] = found.example(holds=isinstance(condition, Every))
    return values


def _example(policy: Policy, alert: Alert, *, wanted: bool) -> dict[str, Decimal]:
    """Values, one for each series, for which the alert's condition holds, or does not."""
    examples = {one.reading.record: one.example(holds=wanted) for one in terms(policy, alert)}
    if _true(policy, alert, examples) is wanted:
        return examples
    found = [case for case in cases(policy, alert) if case.holds is wanted and case.values]
    return examples | found[0].values
