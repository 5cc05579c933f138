"""Native histograms: what is built, and, where a promtool can write them, what their rules say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploywatch.errors import ConfigError
from deploywatch.rules.build import build, write
from deploywatch.rules.commands import rules
from deploywatch.rules.policy import Policy
from deploywatch.rules.requirements import unmet
from tests.rules.tools import GOOD, policy_from

WHEN = "latency_p95 > 1s or latency_p99 > 300ms or latency_mean > 400ms"


def _policy(folder: Path, when: str = WHEN) -> Policy:
    text = GOOD.replace(", buckets: [100ms, 500ms, 1s, 2s]", ", native: true")
    return policy_from(text.replace("error_ratio > 1%", when), folder)


def test_shares_and_means_are_asked_of_the_histogram_itself(tmp_path: Path) -> None:
    text = build([_policy(tmp_path)])["rules/mine.recording.yml"]
    rate = "sum by (service, environment) (rate(http_request_duration_seconds[5m]))"
    assert f"1 - histogram_fraction(0, 1, {rate}) >= 0" in text
    assert f"histogram_sum({rate})" in text
    assert "Needs Prometheus 3.0 or newer that takes native histograms, for http_request_duration_seconds." in text
    assert "_bucket" not in text


def test_an_older_prometheus_is_told_of(tmp_path: Path) -> None:
    said = unmet(_policy(tmp_path), "promtool, version 2.42.0+ds")
    assert said == ("http_request_duration_seconds: native histograms need Prometheus 3.0 or newer, and this is 2.42")
    assert unmet(_policy(tmp_path), "promtool, version 3.5.3") is None


def test_rules_test_says_which_promtool_is_needed(tmp_path: Path) -> None:
    policy = _policy(tmp_path)
    version = subprocess.run(["promtool", "--version"], capture_output=True, text=True, check=True)
    if unmet(policy, version.stdout + version.stderr) is None:
        pytest.skip("this promtool writes native histograms")
    done = CliRunner().invoke(rules, ["test", str(tmp_path / "policy.yml")])
    assert done.exit_code != 0
    assert "native histograms need Prometheus 3.0 or newer" in str(done.exception or "") + done.output


def test_the_longest_request_is_not_asked_of_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a native histogram, which has no longest duration"):
        _policy(tmp_path, "latency_max > 2s")


@pytest.mark.skipif(
    "NEWEST_PROMTOOL" not in os.environ,
    reason="NOT TESTED HERE: this promtool cannot write native histograms; scripts/newest brings one that can",
)
def test_a_newer_promtool_tries_the_rules_from_raw_histograms(tmp_path: Path) -> None:
    write(build([_policy(tmp_path)]), tmp_path)
    program = shutil.which(os.environ["NEWEST_PROMTOOL"])
    assert program is not None
    tests = sorted(map(str, (tmp_path / "tests").glob("mine.*.yml")))
    assert "{{schema:0" in (tmp_path / "tests" / "mine.signals.yml").read_text()
    done = subprocess.run([program, "test", "rules", *tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
