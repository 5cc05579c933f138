"""Comparisons know what is possible, what lies around their threshold, and what they are in PromQL."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploywatch.rules.comparison import OPERATIONS, impossible
from deploywatch.rules.language.expression import OPERATORS, comparisons, parse
from deploywatch.rules.resolve import resolve
from deploywatch.rules.signals.signal import COUNT, SHARE, YES_NO, Domain
from tests.rules.tools import good


@pytest.mark.parametrize(
    ("text", "domain", "verdict"),
    [
        ("x > 1", SHARE, "can never be true"),
        ("x >= 1", SHARE, None),
        ("x < 0", SHARE, "can never be true"),
        ("x <= 0", SHARE, None),
        ("x >= 0", SHARE, "is always true"),
        ("x <= 1", SHARE, "is always true"),
        ("x == 2", YES_NO, "can never be true"),
        ("x == 0.5", YES_NO, "can never be true"),
        ("x != 2", YES_NO, "is always true"),
        ("x == 0", YES_NO, None),
        ("x > 1000", COUNT, None),
        ("x < 0", COUNT, "can never be true"),
        ("x > -5", COUNT, "is always true"),
        ("x < -5", Domain(lowest=None), None),
    ],
)
def test_a_limit_that_says_nothing_is_seen(text: str, domain: Domain, verdict: str | None) -> None:
    assert impossible(next(comparisons(parse(text))), domain) == verdict


@settings(deadline=None)
@given(st.sampled_from(OPERATORS), st.integers(-3, 6))
def test_the_verdict_agrees_with_trying_every_value(operator: str, bound: int) -> None:
    domain = Domain(highest=Decimal(3), whole=True)
    outcomes = {OPERATIONS[operator](Decimal(value), Decimal(bound)) for value in range(4)}
    verdict = {frozenset({True}): "is always true", frozenset({False}): "can never be true"}.get(frozenset(outcomes))
    assert impossible(next(comparisons(parse(f"x {operator} {bound}"))), domain) == verdict


@pytest.mark.parametrize(
    ("when", "values"),
    [
        ("error_ratio > 1%", {"just below": "0.009999", "at": "0.01", "just above": "0.010001"}),
        ("error_ratio >= 100%", {"just below": "0.9999", "at": "1"}),
        ("queue_length > 1000", {"just below": "999", "at": "1000", "just above": "1001"}),
        ("queue_length > 10.5", {"just below": "10", "just above": "11"}),
        ("service_up == 0", {"at": "0", "just above": "1"}),
        ("throughput < 1000/min", {}),
    ],
)
def test_values_around_a_threshold_are_exact(tmp_path: Path, when: str, values: dict[str, str]) -> None:
    (alert,) = resolve(good(tmp_path, when=when)).alerts
    (one,) = alert.terms
    if values:
        assert one.around() == {name: Decimal(value) for name, value in values.items()}
    for value in one.around().values():
        assert value in one.reading.domain


def test_latency_is_the_share_of_slower_requests_where_the_bound_is_a_bucket(tmp_path: Path) -> None:
    (alert,) = resolve(good(tmp_path, when="latency_p95 > 2s")).alerts
    assert alert.expression == (
        'service_environment:http_request_duration_seconds_above_2s:ratio_rate5m{policy="mine"} > 0.05'
    )


def test_latency_is_the_quantile_where_only_a_higher_bucket_is_there(tmp_path: Path) -> None:
    (alert,) = resolve(good(tmp_path, when="latency_p95 > 1500ms")).alerts
    assert alert.expression == ('service_environment:http_request_duration_seconds:p95_rate5m{policy="mine"} > 1.5')


def test_brackets_and_words_become_promql(tmp_path: Path) -> None:
    (alert,) = resolve(good(tmp_path, when="(error_ratio > 1% or throughput < 1/s) and service_up == 1")).alerts
    assert alert.expression == (
        '(service_environment:http_request_errors_per_http_requests:ratio_rate5m{policy="mine"} > 0.01\nor\n'
        'service_environment:http_requests:rate5m{policy="mine"} < 1)\n'
        "and on (service, environment)\n"
        'service_environment:up:max{policy="mine"} == 1'
    )
