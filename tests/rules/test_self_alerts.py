"""Each build watches deploywatch itself: a watchdog, alerts about its parts, and about buckets that have gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from deploywatch.errors import ConfigError
from deploywatch.rules.build import build, write
from deploywatch.rules.outputs import self_alert_list, self_alerts
from deploywatch.rules.outputs.routing import WATCHDOG, config
from deploywatch.rules.outputs.self_alert_list import NAME
from tests.rules.raw_series import fires
from tests.rules.tools import GOOD, SHIPPED, good, policy_from, promtool_test, run, shipped

ALERTS = f"rules/{NAME}.alerts.yml"
NAMES = [path.stem for path in SHIPPED]


def test_each_build_has_the_watchdog_and_what_it_says_of_itself_passes_its_tests(tmp_path: Path) -> None:
    write(build([shipped(name) for name in NAMES]), tmp_path)
    (group,) = YAML(typ="safe").load(tmp_path / ALERTS)["groups"]
    assert group["rules"][0]["alert"] == WATCHDOG
    assert len(group["rules"]) >= 10
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", tmp_path / ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool_test([tmp_path / "tests" / f"{NAME}.yml"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_threshold_has_its_reason_and_each_alert_its_section(tmp_path: Path) -> None:
    files = build([good(tmp_path, when="error_ratio > 1%")])
    for alert in self_alert_list.alerts([shipped("demo")]):
        assert alert.why
        assert alert.why in files[ALERTS]
        assert f"## {alert.name}\n" in files[f"runbooks/{NAME}.md"]


def test_the_watchdog_goes_its_own_way(tmp_path: Path) -> None:
    """Its labels match no policy's route, so that the one that repeats it every two minutes takes it."""
    labels = self_alerts.labels(self_alert_list.alerts([shipped("demo")])[0])
    routes = config([shipped("demo")])["route"]["routes"]
    matchers = [matcher for route in routes for matcher in route["matchers"]]
    assert f'policy="{labels["policy"]}"' not in matchers
    assert routes[-1]["matchers"] == [f'alertname="{WATCHDOG}"']


def _histogram(*bounds: str) -> dict[str, str]:
    return {
        f'http_request_duration_seconds_bucket{{service="a",environment="b",le="{bound}"}}': "0+10x60"
        for bound in bounds
    }


def test_a_bucket_that_is_missing_at_a_limit_is_said(tmp_path: Path) -> None:
    """No `le="1"`: the limit can never be passed, and without this nobody would know."""
    policy = good(tmp_path, when="latency_p95 > 1s")
    fires(policy, tmp_path, _histogram("0.1", "0.5", "2", "+Inf"), {"25m": {"BucketMissing"}})
    fires(policy, tmp_path, _histogram("0.1", "0.5", "1.0", "2", "+Inf"), {"25m": set()})


def test_the_alert_of_a_missing_bucket_names_the_alerts_that_are_dead(tmp_path: Path) -> None:
    alerts = build([good(tmp_path, when="latency_p95 > 1s")])["rules/mine.alerts.yml"]
    assert "has no bucket at 1s: Sample cannot fire" in alerts


@pytest.mark.parametrize(
    ("metric", "unit", "named"),
    [
        ("http_request_duration_milliseconds", "s", "ms"),
        ("request_latency_ms", "s", "ms"),
        ("rpc_microseconds", "ms", "us"),
        ("http_request_duration_seconds", "ms", "s"),
    ],
)
def test_a_unit_that_the_metrics_name_denies_is_refused(tmp_path: Path, metric: str, unit: str, named: str) -> None:
    durations = f"durations: {{metric: {metric}, unit: {unit},"
    text = GOOD.replace("durations: {metric: http_request_duration_seconds,", durations)
    with pytest.raises(ConfigError, match=f"{metric} is in {named}, as its name says, not in {unit}"):
        policy_from(text, tmp_path)
    policy_from(text.replace(f"unit: {unit}", f"unit: {named}"), tmp_path)
