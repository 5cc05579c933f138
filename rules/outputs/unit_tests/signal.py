"""promtool tests from raw counters and buckets: what is recorded from them, and that every alert can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from deploywatch.rules import promql
from deploywatch.rules.comparison import Term
from deploywatch.rules.judgement import delivery
from deploywatch.rules.language.expression import alternatives
from deploywatch.rules.outputs import bucket_alerts, recording
from deploywatch.rules.outputs.unit_tests import delivery as delivery_tests
from deploywatch.rules.outputs.unit_tests import judgement as judgement_tests
from deploywatch.rules.outputs.unit_tests import window as window_tests
from deploywatch.rules.outputs.unit_tests.test_packing import Scene, packed
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy
from deploywatch.rules.signals.signal import Example, InputSeries, Signal, longest_window


def tests(policy: ResolvedPolicy, rule_files: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of end-to-end tests, as data: at the policy's interval, and one for each coarser one that they need."""
    given = policy.given
    examples = [
        (used.signal, example)
        for used in policy.signals.values()
        for example in used.signal.examples(given, used.bounds)
    ]
    yield "signals", _file(policy, rule_files, given.interval, list(_at_interval(policy, examples)))
    for every in sorted({example.every for _, example in examples if example.every is not None}):
        yield f"every-{promql.duration(every)}", _file(policy, rule_files, every, _scenes(given, examples, every))
    if given.delivery is not None:
        every = delivery.interval(given)
        yield "delivery", _file(policy, rule_files, every, list(delivery_tests.tests(given, given.delivery)))


def _file(policy: ResolvedPolicy, rule_files: Sequence[str], every: timedelta, entries: list[Any]) -> dict[str, Any]:
    names = recording.group_names(policy)
    order = {"group_eval_order": [*names, f"{policy.given.policy}.alerts"]} if len(names) > 1 else {}
    head = {"rule_files": list(rule_files), "evaluation_interval": promql.duration(every)}
    return {**head, **order, "tests": entries}


def _at_interval(policy: ResolvedPolicy, examples: Sequence[tuple[Signal, Example]]) -> Iterator[dict[str, Any]]:
    yield from _scenes(policy.given, examples, None)
    for alert in policy.alerts:
        yield from _of_alert(policy.given, alert)
        yield from window_tests.of_alert(policy.given, alert)
    yield from bucket_alerts.tests(policy)
    if policy.health is not None:
        yield from judgement_tests.tests(policy.given, policy.health)


def _scenes(
    policy: Policy, examples: Sequence[tuple[Signal, Example]], every: timedelta | None
) -> list[dict[str, Any]]:
    """The examples that are evaluated this often."""
    wanted = [(signal, example) for signal, example in examples if example.every == every]
    return [_of_scene(policy, scene) for scene in packed(wanted)]


def _of_scene(policy: Policy, scene: Scene) -> dict[str, Any]:
    expressions = [
        _recorded(policy, record, signal.labels, value, example.at or _after(policy, timedelta(0)))
        for signal, example in scene.examples
        for record, value in example.expected.items()
    ]
    _, first = scene.examples[0]
    return _entry(first.spacing or first.every or policy.interval, scene.name, scene.inputs, expressions)


def _recorded(policy: Policy, name: str, labels: Iterable[str], value: Decimal | None, at: timedelta) -> dict[str, Any]:
    bears = promql.sample_labels(policy) | dict.fromkeys(labels, "sample") | {"policy": policy.policy}
    matchers = [(label, "=", text) for label, text in sorted(bears.items())]
    samples = [] if value is None else [{"labels": promql.selector("", matchers), "value": value}]
    # Of a service that a policy names, more may be known than of those that a test has.
    several = any(len(selector.values) > 1 for selector in policy.selectors.values())
    chosen = [(label, "=", text) for label, text in promql.sample_labels(policy).items()] if several else []
    # Rates are divided and multiplied as floats; the sixth decimal is as far as they agree.
    return {
        "expr": f"round({promql.selector(name, chosen)}, 0.000001)",
        "eval_time": promql.duration(at),
        "exp_samples": samples,
    }


def _of_alert(policy: Policy, alert: ResolvedAlert) -> Iterator[dict[str, Any]]:
    """For each way in which the condition can come true, raw series that make it so, through both files of rules."""
    if alert.given.within is not None:
        return
    firing = promql.selector("ALERTS", [("alertname", "=", alert.given.alert), ("alertstate", "=", "firing")])
    expression = {
        "expr": f"group({firing})",
        "eval_time": promql.duration(_after(policy, alert.given.for_)),
        "exp_samples": [{"labels": "{}", "value": 1}],
    }
    for way in alternatives(alert.condition):
        inputs = _inputs(policy, [alert.joined[comparison] for comparison in way])
        if inputs:
            conditions = " and ".join(map(str, way))
            yield _entry(
                policy.interval, f"{alert.given.alert}: fires when raw series have {conditions}", inputs, [expression]
            )


def _inputs(policy: Policy, together: list[Term]) -> list[InputSeries]:
    """Raw series for which all these terms hold; none where that takes more than a few windows.

    Two signals that are made of the same series get the ones of the first for which both come out right, if any.
    """
    chosen: dict[str, tuple[Term, Decimal]] = {}
    for term in together:
        of_record = [other for other in together if other.reading.record == term.reading.record]
        values = (value for other in of_record for value in other.examples())
        value = next((value for value in values if all(other.holds(value) for other in of_record)), None)
        if value is None:
            return []
        chosen[term.reading.record] = (term, value)
    made = [term.signal.raw(policy, term.reading, value) for term, value in chosen.values()]
    if not all(made):
        return []
    return _merged([series for term in made for series in term])


def _merged(every: Iterable[InputSeries]) -> list[InputSeries]:
    """Without what is there twice; none where two signals want the same series to be different."""
    merged: dict[str, InputSeries] = {}
    for series in every:
        if merged.setdefault(series.series, series) != series:
            return []
    return list(merged.values())


def _after(policy: Policy, wait: timedelta) -> timedelta:
    """When, in whole intervals, windows have filled and `wait` is over."""
    return -(-(longest_window(policy) + wait) // policy.interval) * policy.interval + 2 * policy.interval


def _entry(
    every: timedelta, name: str, inputs: Iterable[InputSeries], expressions: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": name,
        "interval": promql.duration(every),
        "input_series": [{"series": given.series, "values": given.values} for given in inputs],
        "promql_expr_test": expressions,
    }
