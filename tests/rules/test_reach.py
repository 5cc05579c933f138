"""A policy reaches people's services as they are: which series count, and labels and annotations of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploywatch.errors import ConfigError
from deploywatch.rules.build import build
from tests.rules.recorded import Case, tried
from tests.rules.tools import GOOD, policy_from, promtool_test

RATIO = "service_environment:http_request_errors_per_http_requests:ratio_rate5m"
RATE = "service_environment:http_requests:rate5m"
SLOW = "service_environment:http_request_duration_seconds_above_1s:ratio_rate5m"


def _requests(more: str) -> str:
    return f'http_requests_total{{service="shop",environment="production",{more}}}'


def _bucket(more: str) -> str:
    return f'http_request_duration_seconds_bucket{{service="shop",environment="production",{more}}}'


REACHED = {
    "health checks hide that half of the payments fail, unless they are excluded": (
        ("metric: http_requests_total", "metric: http_requests_total, excluding: {endpoint: /healthz|/metrics}"),
        Case(
            {
                _requests('endpoint="/healthz",status="200"'): "0+1000x40",
                _requests('endpoint="/pay",status="200"'): "0+10x40",
                _requests('endpoint="/pay",status="500"'): "0+10x40",
            },
            RATIO,
            {15: 0.5},
        ),
    ),
    "a mesh counts each request at both of its ends, unless one end is chosen": (
        ("metric: http_requests_total", "metric: http_requests_total, only: {reporter: destination}"),
        Case(
            {
                _requests('reporter="source",status="200"'): "0+300x40",
                _requests('reporter="destination",status="200"'): "0+300x40",
            },
            RATE,
            {15: 10.0},
        ),
    ),
    "one of several values is chosen": (
        ("metric: http_requests_total", 'metric: http_requests_total, only: {method: [GET, "PUT(1)"]}'),
        Case(
            {
                _requests('method="GET",status="200"'): "0+300x40",
                _requests('method="PUT(1)",status="200"'): "0+300x40",
                _requests('method="PUT1",status="200"'): "0+300x40",
            },
            RATE,
            {15: 20.0},
        ),
    ),
    "a histogram leaves out what nobody waits for": (
        (
            "metric: http_request_duration_seconds,",
            "metric: http_request_duration_seconds, excluding: {endpoint: /export},",
        ),
        Case(
            {
                _bucket('endpoint="/",le="1"'): "0+90x40",
                _bucket('endpoint="/",le="+Inf"'): "0+100x40",
                _bucket('endpoint="/export",le="1"'): "0+0x40",
                _bucket('endpoint="/export",le="+Inf"'): "0+1000x40",
            },
            SLOW,
            {15: 0.1},
        ),
    ),
}


@pytest.mark.parametrize("case", REACHED.values(), ids=REACHED)
def test_only_and_excluding_say_which_series_count(case: tuple[tuple[str, str], Case], tmp_path: Path) -> None:
    change, wanted = case
    text = GOOD.replace(*change).replace("error_ratio > 1%", "error_ratio > 1% or latency_p95 > 1s")
    assert tried(policy_from(text, tmp_path), wanted, tmp_path) == ""


OWN = GOOD.replace(
    "    channels: [slack]\n",
    "    channels: [slack]\n    labels: {team: checkout}\n    annotations: {hint: 'Ask {service} for {value}'}\n",
)


def test_alerts_bear_labels_and_annotations_of_the_policys_own(tmp_path: Path) -> None:
    files = build([policy_from(OWN, tmp_path)])
    rule: dict[str, Any] = YAML(typ="safe").load(files["rules/mine.alerts.yml"])["groups"][0]["rules"][0]
    assert rule["labels"]["team"] == "checkout"
    assert rule["labels"]["severity"] == "critical"
    assert rule["annotations"]["hint"] == "Ask {{ $labels.service }} for {{ $value | humanizePercentage }}"


def test_the_built_tests_know_them(tmp_path: Path) -> None:
    for name, text in build([policy_from(OWN, tmp_path)]).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = promtool_test([tmp_path / "tests" / "mine.boundaries.yml"])
    assert done.returncode == 0, done.stdout + done.stderr


REFUSED = {
    "a label that we set": ("{team: checkout}", "{severity: low}", "severity is set by deploywatch"),
    "a label of the alert's series": ("{team: checkout}", "{probe: x}", "is a label of the alert's series already"),
    "a label that changes with the value": ("{team: checkout}", "{was: '{value}'}", "a label is plain text"),
    "an annotation that we set": ("{hint: 'Ask {service} for {value}'}", "{value: x}", "value is set by deploywatch"),
    "a placeholder that is none": ("Ask {service}", "Ask {servic}", "unknown placeholder '{servic}'"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_would_break_an_alert_is_refused(case: tuple[str, str, str], tmp_path: Path) -> None:
    before, after, message = case
    with pytest.raises(ConfigError, match=message):
        policy_from(OWN.replace("error_ratio > 1%", "health == 0").replace(before, after), tmp_path)
