"""Counts see what counters are born with, and nothing that nobody counted: each case begins at raw series."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.recorded import Case, tried
from tests.rules.tools import good, run


def _seen() -> int:
    """Seconds from the first to the last sample that `increase` sees in five minutes, a sample each 30 s.

    Only what was reset within the window, or is of a new target, is counted by it. Prometheus 3 leaves out the sample
    at a window's very start, and scales what the others say up to the whole of it.
    """
    return 300 if "version 2." in run("promtool", "--version").stdout else 270


SEEN = _seen()
TARGET = 'job="app",instance="10.0.0.1:8080"'
ERRORS = "service_environment:http_request_errors:rate5m"
REQUESTS = "service_environment:http_requests:rate5m"
RATIO = "service_environment:http_request_errors_per_http_requests:ratio_rate5m"
SLOW = "service_environment:http_request_duration_seconds_above_1s:ratio_rate5m"
COMPLAINTS = "service_environment:user_complaints:rate_per_hour5m"


def _up(more: str = "") -> str:
    return f"up{{{TARGET}{more}}}"


def _requests(status: str, more: str = "") -> str:
    return f'http_requests_total{{service="shop",environment="production",{TARGET},status="{status}"{more}}}'


def _bucket(le: str, track: str) -> str:
    own = f'service="shop",environment="production",{TARGET},track="{track}"'
    return f'http_request_duration_seconds_bucket{{{own},le="{le}"}}'


WELL = {_up(): "1x80", _requests("200"): "0+10x80"}
CASES = {
    "the first error, of a series that is born at 1": Case(
        WELL | {_requests("500"): "_x30 1x50"}, ERRORS, {14: 0.0, 15: 1 / 300, 19: 1 / 300, 21: 0.0}
    ),
    "three errors before the first scrape, and two later": Case(
        WELL | {_requests("500"): "_x30 3x3 5x50"}, ERRORS, {15: 3 / 300, 18: 5 / 300}
    ),
    "a canary, whose series are all new, fails half of its requests": Case(
        WELL
        | {
            _requests("200", ',track="canary"'): "_x30 5+5x50",
            _requests("500", ',track="canary"'): "_x30 5+5x50",
        },
        RATIO,
        {19: 45 / 190},
    ),
    "complaints that nobody had before": Case(
        {_up(): "1x80", f'user_complaints_total{{service="shop",environment="production",{TARGET}}}': "_x30 2x50"},
        COMPLAINTS,
        {17: 2 * 12.0},
    ),
    "a canary's histogram, half of it slow from its first request on": Case(
        {
            _up(): "1x80",
            _bucket("1", "canary"): "_x30 4x50",
            _bucket("+Inf", "canary"): "_x30 8x50",
        },
        SLOW,
        {17: 0.5},
    ),
    "Prometheus was away for an hour": Case(
        {_up(): "1x10 _x30 1x40", _requests("200"): "900x10 _x30 900x40", _requests("500"): "700x10 _x30 700x40"},
        ERRORS,
        {21: 0.0, 26: 0.0},
    ),
    "a target is new, and its process is old": Case(
        {_up(): "_x30 1x50", _requests("200"): "_x30 9000x50", _requests("500"): "_x30 700x50"},
        ERRORS,
        {16: 0.0, 21: 0.0},
    ),
    "a target did not answer, and goes on counting": Case(
        {
            _up(): "1x10 0x30 1x40",
            _requests("200"): "900x10 stale _x29 900x40",
            _requests("500"): "7x10 stale _x29 7x40",
        },
        ERRORS,
        {21: 0.0, 26: 0.0},
    ),
    "a target gets another label, and all of its series are new": Case(
        {
            _up(): "1x29 stale",
            _requests("200"): "9000x29 stale",
            _requests("500"): "700x29 stale",
            _up(',zone="b"'): "_x30 1x50",
            _requests("200", ',zone="b"'): "_x30 9000x50",
            _requests("500", ',zone="b"'): "_x30 700x50",
        },
        ERRORS,
        {16: 0.0, 19: 0.0, 21: 0.0},
    ),
    "a process restarts, and its counters begin at 0": Case(
        WELL | {_requests("500"): "50x30 2x50"}, ERRORS, {16: 2 / SEEN}
    ),
    "a pod is born, fails twice and is gone: what it failed counts as long as the window holds it": Case(
        WELL | {_requests("500", ',pod="b"'): "_x30 2x3 stale"}, ERRORS, {16: 2 / 300, 19: 2 / 300, 22: 0.0}
    ),
    "a pod has vanished: what it counted before that counts, as long as the window holds it": Case(
        {_up(): "1x80", _requests("200"): "0+10x30 stale"}, REQUESTS, {16: 80 / 300, 17: 60 / 300, 21: None}
    ),
    "a target and its pod have vanished": Case(
        {_up(): "1x30 stale", _requests("200"): "0+10x30 stale"}, REQUESTS, {17: 60 / 300, 21: None}
    ),
    "seven requests in a window are seven, not what they would be in a longer one": Case(
        {_up(): "1x80", _requests("200"): "40x24 47x60"}, REQUESTS, {14: 7 / 300}
    ),
    "one scrape fails at the start of a window: nothing is new after it": Case(
        {
            _up(): "1x29 0 1x50",
            _requests("200"): "9000+10x29 stale 9310+10x50",
            _requests("500"): "700x29 stale 700x50",
        },
        ERRORS,
        {16: 0.0, 19: 0.0, 20: 0.0, 22: 0.0},
    ),
    "the first error comes while a scrape fails": Case(
        {_up(): "1x29 0 1x50", _requests("200"): "9000+10x29 stale 9310+10x50", _requests("500"): "_x31 2x50"},
        ERRORS,
        {16: 2 / 300, 20: 2 / 300, 21: 0.0},
    ),
    "what came in a gap of two minutes is counted once, at its end": Case(
        {_up(): "1x30 _x4 1x50", _requests("200"): "0+10x30 _x4 350+10x50"},
        REQUESTS,
        {18: 100 / 300, 19: 100 / 300, 20: 100 / 300, 22: 140 / 300, 25: 100 / 300},
    ),
    "a series comes and goes, and its target stays": Case(
        WELL | {_requests("500"): "700x30 stale _x2 701x20 stale"}, ERRORS, {17: 1 / 300, 20: 1 / 300, 22: 0.0}
    ),
    "the first scrape of a new target counts nothing, and each that follows does": Case(
        {_up(): "_x30 1x50", _requests("200"): "_x30 9000+10x50", _requests("500"): "_x30 700+5x50"},
        RATIO,
        {18: 1 / 3, 19: 1 / 3, 24: 1 / 3},
    ),
    "a process restarts twice within the window": Case(
        {_up(): "1x80", _requests("200"): "0+10x26 0+10x3 0+10x60"}, REQUESTS, {17: 10 * (SEEN / 30 - 2) / SEEN}
    ),
    "a counter that was reset has overtaken what it was": Case(
        {_up(): "1x80", _requests("200"): "_x20 5+10x6 0+10x60"}, REQUESTS, {15: 10 * (SEEN / 30 - 1) / SEEN}
    ),
    "a counter falls between the window's start and the first scrape in it": Case(
        {_up(): "1x80", _requests("200"): "9000+10x30 0+10x50"}, REQUESTS, {20: 90 / 300, 21: 100 / 300}
    ),
    "counters of others, that bear labels of no target": Case(
        {
            _up(): "1x80",
            _requests("500").replace("10.0.0.1", "10.9.9.9"): "_x30 700+1x50",
            _requests("200").replace("10.0.0.1", "10.9.9.9"): "0+10x80",
        },
        ERRORS,
        {15: 0.0, 25: 10 / 300},
    ),
    "a process restarts within the window: what it counted before is not lost": Case(
        {_up(): "1x80", _requests("200"): "9000+10x30 0+10x50"}, REQUESTS, {17: 10 * (SEEN / 30 - 1) / SEEN}
    ),
    "a counter was reset: a burst after it is a ninth too much at most": Case(
        WELL | {_requests("500"): "50x30 2x4 92x50"}, ERRORS, {19: 92 / SEEN}
    ),
    # Prometheus 3 takes the scrape at the very start of a window for the one before it.
    "a counter was reset: what came before the first scrape in the window is not seen": Case(
        WELL | {_requests("500"): "50x28 140x1 2x50"},
        ERRORS,
        {18: 92 / SEEN, 19: 92 / 300 if SEEN == 300 else 2 / SEEN},
    ),
    "a process fails, restarts, and fails more than before: too few by what there was before": Case(
        WELL | {_requests("500"): "_x5 20x25 _x3 60x50"}, ERRORS, {18: 40 / 300, 21: 40 / 300, 22: 0.0}
    ),
    # A bound that docs/signals/README.md names; under labels that `up` does not bear it is no birth.
    "a collector forgets a series for twelve minutes, and answers meanwhile: what comes back counts as born": Case(
        WELL | {_requests("500"): "700x20 stale _x24 700x60"}, ERRORS, {24: 700 / 300, 29: 0.0}
    ),
    "the same, of a source whose own labels are honored": Case(
        WELL | {_requests("500").replace("10.0.0.1", "10.9.9.9"): "700x20 stale _x24 700x60"}, ERRORS, {24: 0.0}
    ),
    "nobody knows of targets": Case(
        {_requests("200"): "0+10x80", _requests("500"): "_x30 700x50"}, ERRORS, {16: 0.0, 19: 0.0}
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_counted_is_what_happened(case: Case, tmp_path: Path) -> None:
    policy = good(tmp_path, when="error_ratio > 1% or latency_p95 > 1s or complaints > 5")
    assert tried(policy, case, tmp_path) == ""
