"""Summaries, and histograms of which only the mean is asked for: no buckets, and what can be judged all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.rules.build import build, write
from deploywatch.rules.policy import Policy
from tests.rules.raw_series import fires
from tests.rules.tools import GOOD, policy_from, promtool_test

LABELS = 'service="shop",environment="production"'
BUCKETS = ", buckets: [100ms, 500ms, 1s, 2s]"
SUMMARY = ", quantiles: [0.5, 0.95, 0.99]"


def _policy(folder: Path, when: str, kind: str = "", more: str = "") -> Policy:
    text = GOOD.replace(BUCKETS, kind).replace("alerts:\n", f"{more}alerts:\n", 1)
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


@pytest.mark.parametrize("written", ["0.95", "0.950", "9.5e-01"])
def test_the_slowest_instances_quantile_is_judged(tmp_path: Path, written: str) -> None:
    policy = _policy(tmp_path, "latency_p95 > 1s", SUMMARY)
    # A client whose service is not asked says NaN.
    cases: tuple[tuple[str, list[str]], ...] = (("1.2x60", ["Sample"]), ("0.9x60", []), (" ".join(61 * ["NaN"]), []))
    for number, (slow, firing) in enumerate(cases):
        series = {
            f'http_request_duration_seconds{{{LABELS},instance="{instance}",quantile="{quantile}"}}': values
            for instance, own in (("a", "0.2x60"), ("b", slow))
            for quantile, values in ((written, own), ("0.99", "9x60"), ("0.5", "0.1x60"))
        }
        fires(policy, tmp_path / str(number), series, {"20m": firing})


def test_a_summary_that_is_gone_is_missed_and_its_own_tests_pass(tmp_path: Path) -> None:
    policy = _policy(tmp_path, "latency_p95 > 1s or missing(latency_p95)", SUMMARY)
    write(build([policy]), tmp_path)
    done = promtool_test(sorted((tmp_path / "tests").glob("*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "missing(latency_p95)" in (tmp_path / "tests" / "mine.boundaries.yml").read_text()


@pytest.mark.parametrize("when", ["latency_p95 > 1s", "rise(latency_p99) > 50%", "latency_max > 1s"])
def test_a_quantile_without_buckets_is_refused(tmp_path: Path, when: str) -> None:
    with pytest.raises(ConfigError, match=r"has no buckets, of which .* is made; add them, or a summary's `quantiles`"):
        _policy(tmp_path, when)


def test_a_quantile_that_the_summary_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a summary with the quantiles 0\.5, 0\.9; latency_p95 needs 0\.95"):
        _policy(tmp_path, "latency_p95 > 1s", ", quantiles: [0.5, 0.9]")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (f"{BUCKETS}{SUMMARY}", "buckets and quantiles: a histogram has buckets, a summary quantiles"),
        (f"{SUMMARY}, native: true", "quantiles and native: a histogram has buckets"),
        (", quantiles: [95]", "95 is no quantile; write a share such as 0.95"),
    ],
)
def test_what_no_metric_can_be_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        _policy(tmp_path, "error_ratio > 1%", kind)


OBJECTIVE = "objectives:\n  quick: {of: latency, slower_than: 1s, target: 99%, source: {slo: X}}\n"
VERDICT = "stages: [{stage: full, share: 100%, lasts: 30m}]\nverdict: {fail: [latency_p95 > 1s], source: {slo: X}}\n"


@pytest.mark.parametrize("more", [OBJECTIVE, VERDICT])
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SUMMARY, "is a summary, whose quantiles count no requests; ask for a histogram"),
        (", native: true", "is a native histogram, whose shares are reckoned and not counted; add buckets"),
    ],
)
def test_what_takes_counts_takes_neither_a_summary_nor_a_native_histogram(
    tmp_path: Path, kind: str, text: str, more: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        _policy(tmp_path, "error_ratio > 1%", kind, more)
