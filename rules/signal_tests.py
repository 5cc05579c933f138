"""promtool tests from raw counters and buckets: what is recorded from them, and that every alert can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from rules import promql, recording
from rules.expression import alternatives
from rules.policy import Alert, Policy
from rules.signals.signal import InputSeries
from rules.terms import Term, term


def tests(policy: Policy, rule_files: list[str]) -> dict[str, Any]:
    """The file of end-to-end tests, as data."""
    entries = [*_of_signals(policy), *(test for alert in policy.alerts for test in _of_alert(policy, alert))]
    interval = promql.duration(policy.interval)
    return {"rule_files": rule_files, "evaluation_interval": interval, "tests": entries}


def _of_signals(policy: Policy) -> Iterator[dict[str, Any]]:
    for signal, bounds in recording.signals(policy).values():
        for example in signal.examples(policy, bounds):
            expressions = [_recorded(policy, name, signal.labels, value) for name, value in example.expected.items()]
            yield _entry(policy, f"{signal.name}: {example.name}", example.inputs, expressions)


def _recorded(policy: Policy, name: str, labels: Iterable[str], value: Decimal | None) -> dict[str, Any]:
    bears = promql.sample_labels(policy) | dict.fromkeys(labels, "sample") | {"policy": policy.policy}
    matchers = [(label, "=", text) for label, text in sorted(bears.items())]
    samples = [] if value is None else [{"labels": promql.selector("", matchers), "value": value}]
    # Rates are divided and multiplied as floats; the sixth decimal is as far as they agree.
    return {
        "expr": f"round({name}, 0.000001)",
        "eval_time": promql.duration(_after(policy, timedelta(0))),
        "exp_samples": samples,
    }


def _of_alert(policy: Policy, alert: Alert) -> Iterator[dict[str, Any]]:
    """For each way in which the condition can come true, raw series that make it so, through both files of rules."""
    firing = promql.selector("ALERTS", [("alertname", "=", alert.alert), ("alertstate", "=", "firing")])
    expression = {
        "expr": f"group({firing})",
        "eval_time": promql.duration(_after(policy, alert.for_)),
        "exp_samples": [{"labels": "{}", "value": 1}],
    }
    for way in alternatives(alert.condition):
        inputs = _inputs(policy, [term(policy, one) for one in way])
        if inputs:
            said = " and ".join(map(str, way))
            yield _entry(policy, f"{alert.alert}: fires when raw series have {said}", inputs, [expression])


def _inputs(policy: Policy, together: list[Term]) -> list[InputSeries]:
    """Raw series for which all these terms hold; none where two signals are made of the same series.

    What one of the two needs would change the other; their boundary tests and examples stand alone then.
    """
    chosen: dict[str, tuple[Term, Decimal]] = {}
    for one in together:
        of_record = [other for other in together if other.reading.record == one.reading.record]
        values = (value for other in of_record for value in other.examples())
        value = next((value for value in values if all(other.holds(value) for other in of_record)), None)
        if value is None:
            return []
        chosen[one.reading.record] = (one, value)
    if len({one.signal.needs for one, _ in chosen.values()}) < len(chosen):
        return []
    return [series for one, value in chosen.values() for series in one.signal.raw(policy, one.reading, value)]


def _after(policy: Policy, wait: timedelta) -> timedelta:
    """When, in whole intervals, windows have filled and `wait` is over."""
    return -(-(policy.window + wait) // policy.interval) * policy.interval + 2 * policy.interval


def _entry(
    policy: Policy, name: str, inputs: Iterable[InputSeries], expressions: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": name,
        "interval": promql.duration(policy.interval),
        "input_series": [{"series": one.series, "values": one.values} for one in inputs],
        "promql_expr_test": expressions,
    }
