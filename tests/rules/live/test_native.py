"""`rules check`, `init` and `explain` beside native histograms, in a Prometheus that takes them: `scripts/newest`."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, wait_until
from deploywatch.rules.requirements import unmet
from tests.rules.live.conftest import Live
from tests.rules.live.test_live import _run, checked
from tests.rules.live.test_parts import CONTROL, HISTOGRAM, POLICY
from tests.rules.tools import policy_from

NATIVE = "http_request_duration_seconds, native: true"
_CONFIG = """
scrape_configs:
  - job_name: itself
    scrape_interval: 1s
    static_configs:
      - {targets: ["127.0.0.1:%d"], labels: {service: wix-checkout, environment: production, pod: pod-1}}
    metric_relabel_configs:
      - {source_labels: [__name__], regex: prometheus_(http_.*), target_label: __name__}
      - {source_labels: [code], regex: (.+), target_label: status}
      - {source_labels: [handler], regex: (.+), target_label: endpoint}
"""
"""The server's own requests, of which its client library has native histograms, as a service's."""


def _has_them(url: str) -> bool:
    query = "count(histogram_count(http_request_duration_seconds)) and count(http_requests_total)"
    with urllib.request.urlopen(f"{url}/api/v1/query?{urlencode({'query': query})}", timeout=60) as answered:  # noqa: S310
        return bool(json.load(answered)["data"]["result"])


@pytest.fixture(scope="module")
def native(workshop: Path) -> Iterator[Live]:
    """A Prometheus that scrapes its own requests."""
    folder = workshop / "native"
    folder.mkdir()
    version = subprocess.run(["prometheus", "--version"], capture_output=True, text=True, check=True)
    policy = policy_from(POLICY % {"requests": "", "durations": NATIVE, "part": ""}, folder)
    if (reason := unmet(policy, version.stdout + version.stderr)) is not None:
        pytest.skip(f"NOT TESTED HERE: {reason}; scripts/newest brings one that takes them")
    began = time.time()
    with Processes(folder / "logs") as processes:
        config, port = folder / "prometheus.yml", processes.free_port()
        config.write_text(_CONFIG % port)
        options = ("--enable-feature=native-histograms",)
        server = servers.prometheus(processes, folder / "data", config, port=port, options=options)
        wait_until(lambda: _has_them(server.url), within=120, what="take histograms", child=server.child)
        yield Live(server.url, began)


CASES = {
    "they are what the policy says": ({"durations": NATIVE}, None),
    "buckets are asked for": (
        {"durations": HISTOGRAM},
        ("fault", "series.durations", "http_request_duration_seconds has no buckets: it is a summary, or a native"),
    ),
    "quantiles are asked for": (
        {"durations": "http_request_duration_seconds, quantiles: [0.95]"},
        ("fault", "series.durations.quantiles", "has no quantile 0.95; it has: none; dead: Slow"),
    ),
    "a counter is none": (
        {"durations": "http_requests_total, native: true"},
        ("fault", "series.durations.native", "http_requests_total is no native histogram: its samples are numbers"),
    ),
    "the label of the service is another": (
        {"durations": f"{NATIVE}, labels: {{service: app}}"},
        ("fault", "series.durations", "has no label 'app'"),
    ),
    "a label by which the policy chooses": (
        {"durations": f"{NATIVE}, only: {{uri: /pay}}"},
        ("fault", "series.durations.only", "http_request_duration_seconds has no label 'uri'"),
    ),
    "a canary while none is deployed": (
        {"requests": CONTROL % ("pod", "pod-9", "pod-1"), "durations": NATIVE, "part": "    role: canary\n"},
        ("note", "series.requests.control", "a canary is there only while one is deployed"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_does_not_fit_is_said_of_native_histograms_too(
    case: tuple[dict[str, str], tuple[str, str, str] | None],
    tmp_path: Path,
    native: Live,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes, wanted = case
    path = tmp_path / "policy.yml"
    path.write_text(POLICY % ({"requests": "", "part": ""} | changes))
    code, found = checked(capsys, native, path)
    bad = [one for one in found if one["grade"] in {"fault", "unknown"}]
    if wanted is None:
        assert bad == []
    else:
        grade, place, text = wanted
        assert (grade, place) in [(one["grade"], one["path"]) for one in found if text in one["message"]], found
    assert code == (1 if bad else 0)


def test_a_draft_says_that_they_are_native_and_explain_asks_them(
    tmp_path: Path, native: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    code, draft, err = _run(capsys, "init", "--prometheus", native.url)
    assert code == 0, err
    assert "native: true" in draft
    path = tmp_path / "policy.yml"
    path.write_text(draft)
    policy_from(draft, tmp_path)
    code, found = checked(capsys, native, path)
    assert [one for one in found if one["grade"] in {"fault", "unknown"}] == []
    path.write_text(POLICY % {"requests": "", "durations": NATIVE, "part": ""})
    code, out, err = _run(capsys, "explain", path, "Slow", "--prometheus", native.url)
    assert code == 0, err
    assert "histogram_fraction" in out
