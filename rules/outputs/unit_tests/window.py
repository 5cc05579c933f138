"""promtool tests of limits that step with a deployment: what the threshold is just inside and outside each window.

A deployment's start may lie before the test's first moment, so that its age is exact to the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from deploywatch.conventions import AlertLabel
from deploywatch.rules import promql
from deploywatch.rules.conditions import deployments, thresholds
from deploywatch.rules.conditions.derived import recorded_name
from deploywatch.rules.conditions.thresholds import Limit
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAlert
from deploywatch.rules.signals.signal import Record

# Not at once: recorded series are evaluated one after another, and need a step to be there.
_AT = 2
"""After how many evaluations the threshold is looked at."""


def of_alert(policy: Policy, alert: ResolvedAlert) -> Iterator[dict[str, Any]]:
    """Tests for each window's ends, for no deployment, and of the alert in and out of its windows."""
    if alert.threshold is None:
        return
    for moment, age in _ages(policy, alert.limits).items():
        wanted = _limit(alert.limits, age)
        number = None if wanted is None else thresholds.number(wanted)
        limit = "none" if wanted is None else wanted.comparison.written
        begins, values = _fires(policy, alert, wanted)
        name = f"{alert.given.alert}: {moment} the limit is {limit}, " + (
            "and beyond it the alert begins" if wanted is not None else "and the alert stays silent"
        )
        yield _entry(
            policy, alert, name, age, [_threshold(policy, alert, alert.threshold, number), begins], values=values
        )


def _ages(policy: Policy, limits: tuple[Limit, ...]) -> dict[str, timedelta | None]:
    """How old a deployment is just before and after each end of a window, by what that is called; and none."""
    ages: dict[str, timedelta | None] = {"without a deployment": None}
    for step in limits:
        if step.window is not None:
            ends = deployments.before_and_after(step.window, policy.interval)
            ages |= {moment: age for moment, (age, _) in ends.items()}
    return ages


def _limit(limits: tuple[Limit, ...], age: timedelta | None) -> Limit | None:
    """The first that holds for a deployment of this age, or for none."""
    return next(
        (
            limit
            for limit in limits
            if limit.window is None or (age is not None and limit.window.begins <= age < limit.window.ends)
        ),
        None,
    )


def _threshold(policy: Policy, alert: ResolvedAlert, threshold: Record, number: Decimal | None) -> dict[str, Any]:
    labels = promql.sample_labels(policy) | {
        AlertLabel.POLICY: policy.policy,
        AlertLabel.SEVERITY: alert.given.severity,
        thresholds.ALERT: alert.given.alert,
    }
    samples = [{"labels": _named(threshold.name, labels), "value": number}] if number is not None else []
    return {
        "expr": thresholds.series(policy, alert.given, threshold),
        "eval_time": promql.duration(_AT * policy.interval),
        "exp_samples": samples,
    }


def _fires(policy: Policy, alert: ResolvedAlert, wanted: Limit | None) -> tuple[dict[str, Any], dict[str, Decimal]]:
    """Whether the alert begins, and the series for that: just beyond the limit of this moment, or of any."""
    tried = alert.joined[(wanted or alert.limits[0]).comparison]
    value = next(value for value in (*tried.around().values(), *tried.examples()) if tried.holds(value))
    states = promql.selector("ALERTS", [("alertname", "=", alert.given.alert)])
    expression = {
        "expr": f"group({states})",
        "eval_time": promql.duration(_AT * policy.interval),
        "exp_samples": [{"labels": "{}", "value": 1}] if wanted is not None else [],
    }
    return expression, {recorded_name(policy, tried.reading.record, tried.signal.labels): value}


def _entry(
    policy: Policy,
    alert: ResolvedAlert,
    name: str,
    age: timedelta | None,
    expressions: list[dict[str, Any]],
    *,
    values: dict[str, Decimal] | None = None,
) -> dict[str, Any]:
    inputs = {_tried_series(policy, alert): Decimal(0)} | (values or {})
    series = [{"series": recorded, "values": f"{promql.number(value)}x{_AT + 1}"} for recorded, value in inputs.items()]
    if age is not None:
        ledger = deployments.started(policy, _AT * policy.interval - age, _AT + 1)
        series.append({"series": ledger.series, "values": ledger.values})
    return {
        "name": name,
        "interval": promql.duration(policy.interval),
        "input_series": series,
        "promql_expr_test": expressions,
    }


def _tried_series(policy: Policy, alert: ResolvedAlert) -> str:
    signal = alert.terms[0].signal
    return recorded_name(policy, signal.value(policy), signal.labels)


def _named(name: str, labels: dict[str, str]) -> str:
    return promql.selector(name, [(label, "=", text) for label, text in sorted(labels.items())])
