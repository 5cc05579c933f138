"""Summaries, and histograms of which only the mean is asked for: no buckets, and a mean all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.rules.policy import Policy
from tests.rules.raw_series import fires
from tests.rules.tools import GOOD, policy_from

LABELS = 'service="shop",environment="production"'


def _policy(folder: Path, when: str) -> Policy:
    text = GOOD.replace(", buckets: [100ms, 500ms, 1s, 2s]", "")
    return policy_from(text.replace("error_ratio > 1%", when), folder)


def test_the_mean_of_a_summary_is_judged(tmp_path: Path) -> None:
    policy = _policy(tmp_path, "latency_mean > 300ms")
    for each, firing in (("4", ["Sample"]), ("2", [])):
        series = {
            f'http_request_duration_seconds{{{LABELS},quantile="0.95"}}': "0.1x60",
            f"http_request_duration_seconds_sum{{{LABELS}}}": f"0+{each}x60",
            f"http_request_duration_seconds_count{{{LABELS}}}": "0+10x60",
        }
        fires(policy, tmp_path / each, series, {"20m": firing})


@pytest.mark.parametrize("when", ["latency_p95 > 1s", "rise(latency_p99) > 50%", "latency_max > 1s"])
def test_a_quantile_without_buckets_is_refused(tmp_path: Path, when: str) -> None:
    with pytest.raises(ConfigError, match=r"has no buckets, of which .* is made; add them, or ask for latency_mean"):
        _policy(tmp_path, when)
