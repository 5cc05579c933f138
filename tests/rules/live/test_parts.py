"""`rules check --prometheus`: quantiles, native histograms, and parts of series that are not what a policy says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.live.conftest import Live
from tests.rules.live.test_live import checked

POLICY = """policy: mine
about: What is paid.
sources: {ours: {title: X}}
series:
  requests: {metric: http_requests_total%(requests)s}
  durations: {metric: %(durations)s}
selectors: {service: wix-checkout, environment: production}
alerts:
  - alert: Slow
    when: latency_p95 > 1s
    severity: high
    incident_type: performance_degradation
    summary: "{service} is slow"
    source: {ours: X}
  - alert: PayErrors
    when: error_ratio > 1%%
%(part)s    severity: high
    incident_type: deployment_failure
    summary: "{service} fails"
    source: {ours: X}
"""
HISTOGRAM = "http_request_duration_seconds, buckets: [500ms, 1s]"
SUMMARY = "payment_duration_seconds, quantiles: [0.5, 0.9, 0.95]"
CONTROL = ", control: {label: %s, new: %s, old: %s}"

CASES = {
    "a quantile that the client does not give": (
        {"durations": SUMMARY},
        ("fault", "series.durations.quantiles", "has no quantile 0.95; it has: 0.5, 0.9, 0.99; dead: Slow"),
    ),
    "a histogram is no summary": (
        {"durations": "http_request_duration_seconds, quantiles: [0.95]"},
        ("fault", "series.durations", "is a histogram with buckets, and not a summary with quantiles"),
    ),
    "a summary is no histogram": (
        {"durations": "payment_duration_seconds, buckets: [500ms, 1s]"},
        ("fault", "series.durations", "payment_duration_seconds has no buckets: it is a summary"),
    ),
    "a label by which an alert chooses": (
        {"part": "    only: {uri: /pay}\n"},
        ("fault", "alerts[1].only", "http_requests_total has no label 'uri', by which it is chosen; silent: PayErrors"),
    ),
    "a value of it": (
        {"part": "    only: {endpoint: /pay}\n"},
        (
            "fault",
            "alerts[1].only",
            "no series http_requests_total has endpoint '/pay'; there are: /; silent: PayErrors",
        ),
    ),
    "one value of two": (
        {"part": "    only: {endpoint: [/, /pay]}\n"},
        ("warning", "alerts[1].only", "no series http_requests_total has endpoint '/pay'; there are: /"),
    ),
    "an alert that leaves everything out": (
        {"part": "    excluding: {endpoint: /.*}\n"},
        ("fault", "alerts[1].excluding", "is left out by endpoint '/.*'; silent: PayErrors"),
    ),
    "a value by which the policy chooses": (
        {"requests": ", only: {endpoint: /pay}"},
        ("fault", "series.requests.only", "no series http_requests_total has endpoint '/pay'; there are: /"),
    ),
    "a label of roles": (
        {"requests": CONTROL % ("track", "canary", "stable"), "part": "    role: canary\n"},
        ("fault", "series.requests.control", "http_requests_total has no label 'track'"),
    ),
    "the old version's role": (
        {"requests": CONTROL % ("pod", "pod-9", "pod-8"), "part": "    role: stable\n"},
        ("fault", "series.requests.control", "has pod 'pod-8'; there are: pod-1, pod-2; silent: PayErrors"),
    ),
    "a canary while none is deployed": (
        {"requests": CONTROL % ("pod", "pod-9", "pod-1"), "part": "    role: canary\n"},
        ("note", "series.requests.control", "a canary is there only while one is deployed"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_not_there_is_said_with_its_place(
    case: tuple[dict[str, str], tuple[str, str, str]],
    tmp_path: Path,
    live: Live,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes, (grade, place, text) = case
    path = tmp_path / "policy.yml"
    path.write_text(POLICY % ({"requests": "", "durations": HISTOGRAM, "part": ""} | changes))
    code, found = checked(capsys, live, path)
    said = [(one["grade"], one["path"]) for one in found if text in one["message"]]
    assert said == [(grade, place)], found
    assert code == (1 if grade == "fault" else 0)


def test_what_is_there_is_no_finding(tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.yml"
    well = {"requests": ", excluding: {endpoint: /healthz}", "part": "    only: {endpoint: /}\n"}
    path.write_text(POLICY % ({"durations": HISTOGRAM} | well))
    code, found = checked(capsys, live, path)
    assert code == 0
    assert [one for one in found if one["grade"] in {"fault", "unknown"}] == []
