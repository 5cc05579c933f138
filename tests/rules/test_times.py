"""Limits that follow a deployment, and how its health is judged: what is built works, what cannot be is pointed at."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.rules import promql
from deploywatch.rules.build import build, write
from deploywatch.rules.judgement import health
from deploywatch.rules.resolve import resolve
from tests.rules.tools import GOOD, good, policy_from, promtool_test, run, shipped

STAGES = "stages: [{stage: canary-10, share: 10%, lasts: 15m}, {stage: canary-50, share: 50%, lasts: 15m}]\n"
HEALTH = """
health:
  weights: {application: 60%, infrastructure: 40%}
  signals:
    - {kind: application, warning: error_ratio > 2%, critical: error_ratio > 5%}
    - {kind: application, warning: latency_p99 > 500ms, critical: latency_p99 > 1s}
    - {kind: infrastructure, warning: availability < 99.9%, critical: availability < 99%}
  impact:
    measured: [{of: loss(revenue), points: 1, per: $1000, most: 5}]
    estimated: {critical: {error_ratio: 3}, warning: 1}
  anomalies: [{medium: zscore(error_ratio) > 3, high: zscore(error_ratio) > 4}]
  source: {slo: Health}
delivery: {over: 7d}
"""


def _alert(when: str, more: str) -> str:
    text = GOOD.replace("error_ratio > 1%", when).replace("    for: 2m\n", f"    for: 2m\n{more}")
    return text.replace("alerts:\n", f"{STAGES}alerts:\n")


@pytest.mark.parametrize(
    ("when", "more"),
    [
        ("error_ratio > 1%", "    within: 24h after deployment\n"),
        ("error_ratio > 1%", "    within: canary-50\n"),
        ("latency_p95 > 2s", "    tighter: [{within: canary-10, limit: 1s}, {within: canary-50, limit: 500ms}]\n"),
        ("latency_p95 > 1900ms", "    tighter: [{within: 24h after deployment, limit: 700ms}]\n"),
        ("queue_length > 1000", "    tighter: [{within: 1h after deployment, limit: '500'}]\n"),
        ("throughput < 1000/min", "    tighter: [{within: 1h after deployment, limit: 2000/min}]\n"),
        ("health == 0", "    within: 15m after deployment\n    keep_firing_for: 5m\n"),
        ("rise(latency_p95) > 50%", "    tighter: [{within: canary-10, limit: 20%}]\n"),
    ],
)
def test_limits_that_step_pass_their_own_tests(tmp_path: Path, when: str, more: str) -> None:
    write(build([policy_from(_alert(when, more), tmp_path)]), tmp_path)
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *(tmp_path / "rules").glob("*.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool_test(sorted((tmp_path / "tests").glob("*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_is_compared_with_the_series_that_a_dashboard_can_show(tmp_path: Path) -> None:
    (alert,) = resolve(policy_from(_alert("error_ratio > 1%", "    within: canary-50\n"), tmp_path)).alerts
    record = alert.threshold
    assert record is not None
    assert record.name == "service_environment:policy_threshold:error_ratio"
    assert record.labels == {"severity": "critical", "alert": "Sample"}
    assert f'{record.name}{{policy="mine",alert="Sample"}}' in alert.expression


@pytest.mark.parametrize(
    ("when", "more", "message"),
    [
        (
            "error_ratio > 1%",
            "    within: a day\n",
            "'a day' is no time after a deployment; write `24h",
        ),
        ("error_ratio > 1%", "    within: canary-5\n", "or a stage; did you mean 'canary-50'?"),
        ("error_ratio > 1%", "    within: 24 after deployment\n", "'24' is not a duration; write it with its unit"),
        ("error_ratio > 1%", "    within: 0s after deployment\n", "must be more than nothing"),
        ("error_ratio > 1% or health == 0", "    within: 1h after deployment\n", "takes one comparison in `when`"),
        (
            "error_ratio > 1%",
            "    tighter: [{within: canary-10, limit: 5ms}]\n",
            "error_ratio is a ratio, and 5ms",
        ),
        ("error_ratio > 1%", "    tighter: [{within: canary-10, limit: 1%}]\n", "1% is the limit of `when` too"),
        ("error_ratio > 1%", "    tighter: [{within: canary-10, limit: 120%}]\n", "can never be true"),
        ("latency_p95 > 1s", "    tighter: [{within: canary-10, limit: 700ms}]\n", "must both be bounds of buckets"),
        ("latency_p95 > 1s", "    tighter: [{within: canary-10, limit: 9s}]\n", "no bucket at or above 9s"),
        ("error_ratio > 1%", "    keep_firing_for: 10s\n", "10s is shorter than the interval, 30s"),
        ("latency_max > 700ms", "", "no bucket at 700ms, which latency_max needs; add one"),
    ],
)
def test_a_limit_that_cannot_step_is_refused(tmp_path: Path, when: str, more: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_from(_alert(when, more), tmp_path)
    assert message in str(caught.value)


def test_health_impact_anomalies_and_delivery_pass_their_own_tests(tmp_path: Path) -> None:
    write(build([policy_from(GOOD + HEALTH, tmp_path)]), tmp_path)
    done = promtool_test(sorted((tmp_path / "tests").glob("*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr
    names = (tmp_path / "tests" / "mine.signals.yml").read_text()
    for said in ("that is NaN does not count", "nothing has a value", "too little for a score", "no business signal"):
        assert said in names


def test_weights_are_whole_numbers_that_add_up_to_the_policys(tmp_path: Path) -> None:
    judged = resolve(shipped("enterprise")).health
    assert judged is not None
    found = health.weights(judged)
    total = sum(found.values())
    kinds = {
        kind: sum(found[status.name] for status in judged.statuses if status.given.kind == kind)
        for kind in judged.given.weights
    }
    assert Decimal(kinds["application"]) / total == Decimal(35) / 85
    assert Decimal(kinds["business"]) / total == Decimal(25) / 85


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: infrastructure, w", "kind: infrastucture, w", "has no weight; did you mean 'infrastructure'?"),
        ("critical: error_ratio > 5%", "critical: latency_p95 > 5s", "must compare one signal one way"),
        ("critical: error_ratio > 5%", "critical: error_ratio > 1%", "1% is milder than 2%; exchange them"),
        (
            "critical: availability < 99%",
            "critical: availability < 99.95%",
            "99.95% is milder than 99.9%; exchange them",
        ),
        ("high: zscore(error_ratio) > 4", "high: zscore(error_ratio) > 2", "2 is milder than 3; exchange them"),
        ("warning: error_ratio > 2%", "warning: error_ratio > 2", "error_ratio is a ratio; write 2%"),
        ("of: loss(revenue)", "of: lost(revenue)", "unknown function 'lost'; did you mean 'loss'?"),
        ("per: $1000", "per: 10%", "loss(revenue) is in money, and 10% is a ratio"),
        ("application: 60%", "application: 160%", "160% is no share"),
        ("{slo: Health}", "{slow: Health}", "unknown source 'slow'"),
    ],
)
def test_a_judgement_that_means_nothing_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_from(GOOD + HEALTH.replace(old, new), tmp_path)
    assert message in str(caught.value)


def test_what_is_observed_is_recorded_and_what_is_not_known_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("alerts:\n", "observe: [throughput_peak, trend(memory)]\nalerts:\n")
    assert "throughput_peak" not in build([good(tmp_path, when="error_ratio > 1%")])["rules/mine.recording.yml"]
    assert "rate5m_peak1h" in build([policy_from(text, tmp_path)])["rules/mine.recording.yml"]
    with pytest.raises(ConfigError, match=r"observe\[0\]: unknown signal 'throughput_speak'; did you mean"):
        policy_from(text.replace("throughput_peak", "throughput_speak"), tmp_path)


@pytest.mark.parametrize(
    ("value", "written"),
    [("0.05", "0.05"), ("1000", "1000"), ("100000000", "100000000"), (Decimal(1000) / 60, "1000 / 60")],
)
def test_a_number_that_is_no_decimal_stays_a_fraction(value: str | Decimal, written: str) -> None:
    assert promql.constant(Decimal(value)) == written
