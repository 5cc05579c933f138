"""Names as OpenTelemetry writes them, with points: in quotes from Prometheus 3.0 on, and an older one is told of."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploywatch.errors import ConfigError
from deploywatch.rules import promql
from deploywatch.rules.build import build, write
from deploywatch.rules.commands import rules
from deploywatch.rules.requirements import quoted_names, unmet
from tests.rules.tools import GOOD, policy_from

OTEL = """preset: otel-utf8
selectors: {service: shop, environment: production}
"""


def _otel() -> str:
    series = GOOD[GOOD.index("  requests:") : GOOD.index("  database:")]
    return (
        GOOD.replace(series, "")
        .replace("series:\n", f"{OTEL}series:\n")
        .replace("error_ratio > 1%", "error_ratio > 1% or latency_p95 > 1s")
    )


def test_names_with_points_stand_in_quotes_and_what_is_recorded_bears_plain_names(tmp_path: Path) -> None:
    text = build([policy_from(_otel(), tmp_path)])["rules/mine.recording.yml"]
    assert '{"http.server.request.duration_seconds_count","service.name"="shop"' in text
    assert "record: service_environment:http_server_request_duration_seconds_count:rate5m" in text
    assert "Needs Prometheus 3.0 or newer, for names such as http.server.request.duration_seconds_count" in text


def test_an_older_prometheus_is_told_of_with_the_version_that_is_needed(tmp_path: Path) -> None:
    policy = policy_from(_otel(), tmp_path)
    said = unmet(policy, "promtool, version 2.42.0+ds")
    assert said is not None
    assert "need Prometheus 3.0 or newer, and this is 2.42" in said
    assert unmet(policy, "promtool, version 3.5.3") is None
    assert unmet(policy_from(GOOD, tmp_path), "2.42.0") is None
    assert "service.name" in quoted_names(policy)


def test_rules_test_says_which_promtool_is_needed(tmp_path: Path) -> None:
    policy_from(_otel(), tmp_path)
    told = subprocess.run(["promtool", "--version"], capture_output=True, text=True, check=True)
    if unmet(policy_from(_otel(), tmp_path), told.stdout + told.stderr) is None:
        pytest.skip("this promtool reads such names")
    done = CliRunner().invoke(rules, ["test", str(tmp_path / "policy.yml")])
    assert done.exit_code != 0
    assert "need Prometheus 3.0 or newer" in str(done.exception or "") + done.output


@pytest.mark.skipif("NEWEST_PROMTOOL" not in os.environ, reason="only with a promtool 3, which scripts/newest brings")
def test_promtool_3_tries_the_rules_from_raw_series(tmp_path: Path) -> None:
    write(build([policy_from(_otel(), tmp_path)]), tmp_path)
    program = shutil.which(os.environ["NEWEST_PROMTOOL"])
    assert program is not None
    tests = sorted(map(str, (tmp_path / "tests").glob("mine.*.yml")))
    done = subprocess.run([program, "test", "rules", *tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["http.server duration", 'a.b"c', "http-requests", ".a", "a.b{x}"])
def test_what_is_a_typing_error_is_still_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no metric name"):
        policy_from(GOOD.replace("metric: http_requests_total", f"metric: '{name}'"), tmp_path)


def test_a_plain_name_stays_as_it_is() -> None:
    assert promql.selector("up", [("job", "=", "a")]) == 'up{job="a"}'
    assert promql.selector("a.b", []) == '{"a.b"}'
