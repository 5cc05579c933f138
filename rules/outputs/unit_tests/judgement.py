"""promtool tests of a deployment's health: each status around its limits, score, coverage, impact, anomalies, NaN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from deploywatch.rules import promql
from deploywatch.rules.comparison import Term
from deploywatch.rules.conditions.derived import recorded_name
from deploywatch.rules.judgement import health
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAnomaly, ResolvedHealth, ResolvedStatus

_AT = 2
"""After how many evaluations the values are looked at."""

Values = dict[str, str]
"""Recorded series of the example, with their labels, and the value that each has all the time."""


def tests(policy: Policy, judged: ResolvedHealth) -> Iterator[dict[str, Any]]:
    """All tests of how the policy judges a deployment."""
    for status in judged.statuses:
        yield from _of_status(policy, status)
    yield from _of_score(policy, judged)
    yield from _of_impact(policy, judged)
    for anomaly in judged.anomalies:
        yield from _of_anomaly(policy, anomaly)


def _of_status(policy: Policy, status: ResolvedStatus) -> Iterator[dict[str, Any]]:
    """Each limit: just below, at, just above; the other limit is as bad as it can be without deciding."""
    both = {"warning": status.warning, "critical": status.critical}
    for limit, tried in both.items():
        for where, value in tried.around().items():
            values = _alike(both, limit, value)
            held = [term for word, term in both.items() if term.holds(values[word])]
            score = 1 - Decimal("0.5") * len(held)
            given = {_series(policy, term): promql.number(values[word]) for word, term in both.items()}
            yield _entry(
                policy,
                f"health: {status.name} {where} {tried.comparison.written} ({limit}) counts {promql.number(score)}",
                given,
                [_value(policy, health.STATUS_SCORE, score, {"signal": status.name, "kind": status.given.kind})],
            )
    given = {_series(policy, term): "NaN" for term in both.values()}
    yield _entry(
        policy, f"health: {status.name} that is NaN does not count", given, [_nothing(policy, health.STATUS_SCORE)]
    )


def _alike(both: Mapping[str, Term], decisive: str, value: Decimal) -> dict[str, Decimal]:
    """Values of the series of both limits, when one of them has this value."""
    if len({term.reading.record for term in both.values()}) == 1:
        return dict.fromkeys(both, value)
    return {word: value if word == decisive else term.example(holds=word == "warning") for word, term in both.items()}


def _of_score(policy: Policy, judged: ResolvedHealth) -> Iterator[dict[str, Any]]:
    good = [_states(policy, status, "good") for status in judged.statuses]
    everything = {series: value for states in good for series, value in states.items()}
    first, weights = judged.statuses[0], health.weights(judged)
    yield _entry(
        policy,
        "health: every signal is well",
        everything,
        [
            _value(policy, health.SCORE, Decimal(1)),
            _value(policy, health.COVERAGE, Decimal(1)),
            _overall(policy, "healthy"),
        ],
    )
    yield _entry(
        policy,
        f"health: {first.name} is critical, the others are well",
        everything | _states(policy, first, "critical"),
        [_overall(policy, "critical")],
    )
    yield from _of_warnings(policy, judged, everything)
    least = min(judged.statuses, key=lambda status: weights[status.name])
    share = Decimal(weights[least.name]) / sum(weights.values())
    if share < judged.given.coverage.value:
        yield _entry(
            policy,
            f"health: only {least.name} has a value, which is too little for a score",
            _states(policy, least, "good"),
            [
                _nothing(policy, health.SCORE),
                _value(policy, health.COVERAGE, share.quantize(Decimal("0.000001"))),
                _overall(policy, "unknown"),
            ],
        )
    yield _entry(policy, "health: nothing has a value", {}, [_nothing(policy, health.SCORE), _overall(policy, None)])


def _of_warnings(policy: Policy, judged: ResolvedHealth, well: Values) -> Iterator[dict[str, Any]]:
    """Every signal at warning; those whose limits are the same are critical at once, and stay well here."""
    weights = health.weights(judged)
    warned = [status for status in judged.statuses if _has_warning(status)]
    if not warned:
        return
    share = Decimal(sum(weights[status.name] for status in warned)) / sum(weights.values())
    score = 1 - share / 2
    values = well | {series: value for status in warned for series, value in _states(policy, status, "warning").items()}
    which = "every signal is" if len(warned) == len(judged.statuses) else "every signal that can be is"
    yield _entry(
        policy,
        f"health: {which} at warning",
        values,
        [
            _value(policy, health.SCORE, score.quantize(Decimal("0.000001")).normalize()),
            _overall(policy, "warning" if score < judged.given.healthy.value else "healthy"),
        ],
    )


def _of_impact(policy: Policy, judged: ResolvedHealth) -> Iterator[dict[str, Any]]:
    if judged.given.impact is None:
        return
    measures, estimate = judged.impact, judged.given.impact.estimated
    every = {_series(policy, measure.term): promql.number(measure.given.per.value / 10) for measure in measures}
    points = sum((min(measure.given.points / 10, measure.given.most) for measure in measures), Decimal(0))
    yield _entry(policy, "impact: a tenth of each measure", every, [_value(policy, health.IMPACT, points)])
    most = {_series(policy, measure.term): promql.number(measure.given.per.value * 1000) for measure in measures}
    highest = min(sum((measure.given.most for measure in measures), Decimal(0)), Decimal(10))
    yield _entry(policy, "impact: far more than each measure counts", most, [_value(policy, health.IMPACT, highest)])
    for status in judged.statuses:
        if status.given.kind == estimate.kind:
            for state, points in (
                ("critical", estimate.critical.get(status.name, Decimal(0))),
                ("warning", estimate.warning),
            ):
                if state == "warning" and not _has_warning(status):
                    continue
                text = f"impact: no business signal, and {status.name} is at {state}"
                yield _entry(policy, text, _states(policy, status, state), [_value(policy, health.IMPACT, points)])


def _of_anomaly(policy: Policy, anomaly: ResolvedAnomaly) -> Iterator[dict[str, Any]]:
    for tried in anomaly.limits:
        for where, value in tried.around().items():
            degree = sum(limit.holds(value) for limit in anomaly.limits)
            text = f"anomaly: {anomaly.name} {where} {tried.comparison.written} is of degree {degree}"
            expected = [
                _value(policy, health.DEGREE, Decimal(degree), {"anomaly": anomaly.name}),
                _value(policy, health.ANOMALIES, Decimal(1 if degree else 0)),
            ]
            yield _entry(policy, text, {_series(policy, tried): promql.number(value)}, expected)


def _has_warning(status: ResolvedStatus) -> bool:
    """Whether a value is at warning and not critical."""
    warning, critical = status.warning, status.critical
    return warning.reading.record != critical.reading.record or any(
        warning.holds(value) and not critical.holds(value) for value in _tried(status)
    )


def _tried(status: ResolvedStatus) -> list[Decimal]:
    warning, critical = status.warning, status.critical
    return [*critical.around().values(), *warning.around().values(), *critical.examples(), *warning.examples()]


def _states(policy: Policy, status: ResolvedStatus, wanted: str) -> Values:
    """Series for which a signal is well, at warning, or critical."""
    warning, critical = status.warning, status.critical
    if warning.reading.record == critical.reading.record:
        value = next(
            value
            for value in _tried(status)
            if (warning.holds(value), critical.holds(value)) == (wanted != "good", wanted == "critical")
        )
        return {_series(policy, critical): promql.number(value)}
    return {
        _series(policy, warning): promql.number(warning.example(holds=wanted != "good")),
        _series(policy, critical): promql.number(critical.example(holds=wanted == "critical")),
    }


def _series(policy: Policy, term: Term) -> str:
    return recorded_name(policy, term.reading.record, term.signal.labels)


def _overall(policy: Policy, state: str | None) -> dict[str, Any]:
    if state is None:
        return _nothing(policy, health.OVERALL)
    return _value(policy, health.OVERALL, Decimal(1), {"status": state})


def _value(policy: Policy, record: str, value: Decimal, more: Mapping[str, str] | None = None) -> dict[str, Any]:
    labels = promql.sample_labels(policy) | {"policy": policy.policy} | dict(more or {})
    matchers = [(label, "=", text) for label, text in sorted(labels.items())]
    expression = promql.recorded(
        policy, record, [(label, "=", text) for label, text in (more or {}).items() if label != "status"]
    )
    sample = {"labels": promql.selector("", matchers), "value": value}
    return _expression(policy, f"round({expression}, 0.000001)", [sample])


def _nothing(policy: Policy, record: str) -> dict[str, Any]:
    return _expression(policy, promql.recorded(policy, record), [])


def _expression(policy: Policy, expression: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    return {"expr": expression, "eval_time": promql.duration(_AT * policy.interval), "exp_samples": samples}


def _entry(policy: Policy, name: str, values: Values, expressions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": promql.duration(policy.interval),
        "input_series": [
            {"series": series, "values": " ".join([value] * (_AT + 2))} for series, value in values.items()
        ],
        "promql_expr_test": expressions,
    }
