"""promtool tests of each alert around its thresholds, on recorded series put in by hand, so that values are exact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from deploywatch.quantity import format_duration
from deploywatch.rules import promql
from deploywatch.rules.comparison import Term
from deploywatch.rules.outputs import alerting
from deploywatch.rules.outputs.emit import Remarked
from deploywatch.rules.outputs.unit_tests.test_cases import SAMPLE, Case, Setting, cases, example, expected
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy

# So many evaluations more, to see that it stays as it is.
_AFTER = 3
"""How many evaluations a test goes on after the alert fires."""


def tests(policy: ResolvedPolicy, alerts_file: str) -> dict[str, Any]:
    """The file of boundary tests, as data."""
    entries = [entry for alert in policy.alerts for entry in of_alert(policy.given, alert)]
    interval = promql.duration(policy.given.interval)
    return {"rule_files": [alerts_file], "evaluation_interval": interval, "tests": entries}


def of_alert(policy: Policy, alert: ResolvedAlert) -> list[Any]:
    """All tests of one alert."""
    tried = [
        _firing(policy, alert, case) if case.holds else _silent(policy, alert, case) for case in cases(policy, alert)
    ]
    return [*tried, _ending(policy, alert)]


def evaluations(policy: Policy, alert: ResolvedAlert) -> int:
    """After how many intervals a condition that stays true fires: `for`, up to a whole number of them."""
    # Rounded up: an alert fires at the first evaluation at which `for` has passed whole.
    return -(-alert.given.for_ // policy.interval)


def _silent(policy: Policy, alert: ResolvedAlert, case: Case) -> Any:
    at = evaluations(policy, alert) + _AFTER
    return _entry(
        policy,
        alert,
        f"{case.name}: silent",
        given=_constant(case.setting.given, at),
        series={record: f"{promql.number(value)}x{at}" for record, value in case.values.items()},
        expressions=[_states(policy, alert, at, "firing", setting=case.setting, values={})],
        alerts=[_fired(policy, alert, at, case.setting, {})],
    )


def _firing(policy: Policy, alert: ResolvedAlert, case: Case) -> Any:
    at = evaluations(policy, alert)
    outcome = f"pending, and after {format_duration(at * policy.interval)} firing" if at else "firing at once"
    before = [_states(policy, alert, at - 1, "pending", setting=case.setting, values=case.values)] if at else []
    return _entry(
        policy,
        alert,
        f"{case.name}: {outcome}",
        given=_constant(case.setting.given, at + _AFTER),
        series={record: f"{promql.number(value)}x{at + _AFTER}" for record, value in case.values.items()},
        expressions=[*before, _states(policy, alert, at, "firing", setting=case.setting, values=case.values)],
        alerts=[_fired(policy, alert, at, case.setting, case.values)],
    )


def _ending(policy: Policy, alert: ResolvedAlert) -> Any:
    """Good, bad, good: what was bad is kept firing for as long as the alert says."""
    (setting, bad), (_, good) = example(policy, alert, wanted=True), example(policy, alert, wanted=False)
    at, kept = evaluations(policy, alert), -(-alert.given.keep_firing_for // policy.interval)
    states = [(0, "pending", {}), (at + 1, "firing", bad)]
    if kept:
        states.append((at + 1 + kept, "firing", bad))
    states.append((at + 2 + kept, "firing", {}))
    until = f", and for {format_duration(kept * policy.interval)} after" if kept else ""
    return _entry(
        policy,
        alert,
        f"good, then bad for long enough, then good again: fires only while it is bad{until}",
        given=_constant(setting.given, at + kept + _AFTER),
        series={record: _three(good[record], bad[record], at, kept) for record in bad},
        expressions=[
            _states(policy, alert, when, state, setting=setting, values=values) for when, state, values in states
        ],
        alerts=[],
    )


def _three(good: Decimal, bad: Decimal, at: int, kept: int) -> str:
    """One good sample, `at` + 1 bad ones, then good ones."""
    fine = promql.number(good)
    return f"{fine} {promql.number(bad)}x{at} {fine}x{_AFTER + kept}"


def _constant(given: Mapping[str, Decimal], steps: int) -> dict[str, str]:
    return {series: f"{promql.number(value)}x{steps}" for series, value in given.items()}


def _entry(
    policy: Policy,
    alert: ResolvedAlert,
    name: str,
    *,
    given: Mapping[str, str],
    series: Mapping[str, str],
    expressions: list[dict[str, Any]],
    alerts: list[dict[str, Any]],
) -> Any:
    terms = {term.reading.record: term for term in alert.terms if term.reading.record in series}
    inputs = [{"series": _series(policy, term), "values": series[record]} for record, term in terms.items()]
    entry: dict[str, Any] = {
        "name": f"{alert.given.alert}: {name}",
        "interval": promql.duration(policy.interval),
        "input_series": [*inputs, *({"series": record, "values": values} for record, values in given.items())],
    }
    if alerts:
        entry["alert_rule_test"] = alerts
    return Remarked((alert.given.when,), entry | {"promql_expr_test": expressions})


def _series(policy: Policy, term: Term) -> str:
    labels = promql.sample_labels(policy) | dict.fromkeys(term.signal.labels, SAMPLE)
    return promql.recorded(policy, term.reading.record, [(name, "=", value) for name, value in labels.items()])


def _states(
    policy: Policy, alert: ResolvedAlert, at: int, state: str, *, setting: Setting, values: Mapping[str, Decimal]
) -> dict[str, Any]:
    """What ALERTS has to say of the alert after `at` intervals: its alerts for these values, all in this state."""
    samples = []
    for due in expected(policy, alert, setting, values):
        names = {"alertname": alert.given.alert, "alertstate": state} | due.labels
        matchers = [(label, "=", text) for label, text in sorted(names.items())]
        samples.append({"labels": promql.selector("ALERTS", matchers), "value": 1})
    return {
        "expr": promql.selector("ALERTS", [("alertname", "=", alert.given.alert)]),
        "eval_time": promql.duration(at * policy.interval),
        "exp_samples": samples,
    }


def _fired(
    policy: Policy, alert: ResolvedAlert, at: int, setting: Setting, values: Mapping[str, Decimal]
) -> dict[str, Any]:
    """What reaches Alertmanager after `at` intervals."""
    alerts = [
        {
            "exp_labels": due.labels,
            "exp_annotations": alerting.rendered(policy, alert, due.labels, due.values),
        }
        for due in expected(policy, alert, setting, values)
    ]
    return {"eval_time": promql.duration(at * policy.interval), "alertname": alert.given.alert, "exp_alerts": alerts}
