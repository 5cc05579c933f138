"""`rules init`, `check --prometheus` and `explain` against a real Prometheus that has a world, and no rules."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deploywatch.cli import main
from deploywatch.rules.builtin_policies import POLICIES
from deploywatch.rules.live.buckets import compared
from deploywatch.rules.live.findings import Grade
from deploywatch.rules.requirements import untried
from deploywatch.rules.series.durations import Durations
from tests.rules.live.conftest import Live
from tests.rules.tools import GOOD, policy_from

WIX = (POLICIES / "wix-platform.yml").read_text()


def _run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["rules", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def checked(capsys: pytest.CaptureFixture[str], live: Live, path: Path) -> tuple[int, list[dict[str, str]]]:
    """What the command finds, and its exit code."""
    code, out, err = _run(capsys, "check", path, "--prometheus", live.url, "--over", "6h", "--format", "json")
    assert err == ""
    return code, json.loads(out)


def _policy(folder: Path, *changes: tuple[str, str]) -> Path:
    text = WIX
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "policy.yml"
    path.write_text(text)
    return path


def test_a_policy_that_fits_has_no_faults_and_says_what_would_have_fired(
    tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = checked(capsys, live, _policy(tmp_path))
    assert [one for one in found if one["grade"] in {"fault", "unknown"}] == []
    assert code == 0
    said = {one["message"].split()[0]: one["message"] for one in found}
    assert said["ManyErrors"].startswith("ManyErrors would have fired once in the last 6h")
    assert said["ManyErrors"].endswith("wix-api in production")
    assert said["LowAvailability"] == "LowAvailability would not have fired in the last 6h"
    assert any("rules take" in one["message"] and one["path"] == "interval" for one in found)


def test_a_prometheus_that_is_younger_than_the_time_looked_at_has_no_alerts_before_it_began(
    tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was measured then, which is what MetricsMissing fires for."""
    code, out, _ = _run(
        capsys, "check", _policy(tmp_path), "--prometheus", live.url, "--format", "json", "--over", "2d"
    )
    said = {one["message"].split()[0]: one for one in json.loads(out)}
    assert code == 0
    assert re.fullmatch(r"samples reach back \w+ of the 2d: alerts were tried on these", said["samples"]["message"])
    assert "MetricsMissing would not have fired in the last 6h" in said["MetricsMissing"]["message"]


def test_of_a_prometheus_without_any_of_the_series_no_past_is_told(
    tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(GOOD.replace("http_requests_total", "no_requests_total"))
    code, found = checked(capsys, live, path)
    assert code == 1
    assert "there is no sample of the policy's series in the last 6h: no alert was tried" in [
        one["message"] for one in found
    ]


FAULTS = {
    "a metric that is not there": (
        ("metric: http_requests_total", "metric: http_request_total"),
        ("series.requests", "there is no http_request_total; did you mean 'http_requests_total'?"),
    ),
    "a metric of another spelling of labels": (
        ("metric: http_requests_total", "metric: http_requests_total\n    labels: {environment: namespace}"),
        ("series.requests", "http_requests_total has no label 'namespace', which tells environments apart"),
    ),
    "an environment that is not there": (
        ("environment: production", "environment: prod"),
        ("selectors.environment", "has environment 'prod'; there are: production"),
    ),
    "a label of outcomes that is not there": (
        ("metric: http_requests_total", "metric: http_requests_total\n    status: code"),
        ("series.requests", "http_requests_total has no label 'code'"),
    ),
    "outcomes that are all errors": (
        ("metric: http_requests_total", "metric: http_requests_total\n    errors: '...'\n    passing: '0'"),
        ("series.requests.errors", "every value of status counts as an error: 200, 500"),
    ),
    "a bucket that is not there": (
        ("buckets: [100ms, 250ms, 500ms, 1s, 2s, 3s, 5s]", "buckets: [100ms, 2s, 2250ms]\n    unit: s"),
        ("series.durations.buckets", "http_request_duration_seconds has no bucket at 2.25s"),
    ),
}


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS)
def test_what_is_missing_is_a_fault_with_its_place(
    case: tuple[tuple[str, str], tuple[str, str]],
    tmp_path: Path,
    live: Live,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change, (path, message) = case
    more = [("latency_p95 > 2000ms", "latency_p95 > 2250ms")] if "2250ms" in change[1] else []
    more += (
        [("latency_mean > 2000ms", "latency_mean > 1s"), ("latency_mean > 3000ms", "latency_mean > 1500ms")]
        if more
        else []
    )
    code, found = checked(capsys, live, _policy(tmp_path, change, *more))
    faults = {one["path"]: one["message"] for one in found if one["grade"] == "fault"}
    assert code == 1
    assert message in faults[path]
    assert all(int(one["line"]) > 1 for one in found if one["grade"] == "fault")


def test_buckets_in_another_unit_are_a_fault_where_the_name_says_none() -> None:
    buckets = [timedelta(milliseconds=one) for one in (100, 500, 1000)]
    durations = Durations(metric="http_request_duration", unit="ms", buckets=tuple(buckets))
    live = {Decimal("0.1"), Decimal("0.5"), Decimal(1)}
    (found,) = compared(durations, live, {Decimal(1): ["Slow"]})
    assert found == (Grade.FAULT, "unit", "the buckets of http_request_duration look like s, not ms: 0.1, 0.5, 1")


def test_a_service_that_is_named_and_not_there_is_a_warning(
    tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    change = ("service: {pattern: wix-.+, such_as: wix-api}", "service: [wix-api, wix-search]")
    _, found = checked(capsys, live, _policy(tmp_path, change))
    warnings = [one["message"] for one in found if one["grade"] == "warning"]
    assert any("no http_requests_total of wix-search in production" in one for one in warnings)


def test_a_prometheus_that_does_not_answer_cannot_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "check", _policy(tmp_path), "--prometheus", "http://127.0.0.1:1")
    assert code == 4
    assert "unknown" in out


@pytest.mark.parametrize("command", ["explain", "init"])
def test_who_is_not_answered_cannot_tell(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what: list[str | Path] = (
        [_policy(tmp_path), "ManyErrors"] if command == "explain" else ["--out", tmp_path / "x.yml"]
    )
    code, _, err = _run(capsys, command, *what, "--prometheus", "http://ada:hunter2@127.0.0.1:1")
    assert code == 4
    assert "Prometheus at http://ada:***@127.0.0.1:1 did not answer" in err
    assert not (tmp_path / "x.yml").exists()


@pytest.mark.parametrize(
    ("version", "said"),
    [("2.41.0", True), ("2.42.0", False), ("3.5.0", False), ("0.34.1", False), ("", False), ("1.8.2", True)],
)
def test_a_version_that_nothing_was_tried_with_is_said(version: str, said: bool) -> None:
    assert (untried(version) is not None) is said


def test_explain_gives_each_comparison_with_its_query_and_todays_values(
    tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, "explain", _policy(tmp_path), "ManyErrors", "--prometheus", live.url, "--raw")
    assert (code, err) == (0, "")
    assert "increase(http_requests_total{" in out
    assert out.index("wix-api in production: 0.02%: not true") < out.index("increase(http_requests_total{")
    assert "neither pending nor firing" in out


def test_explain_works_without_a_prometheus_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "explain", _policy(tmp_path), "RollbackIssues")
    assert code == 0
    assert "fires when error_ratio > 5%" in out
    # A query of a hundred lines would hide what it is shown for.
    assert "lines, which --raw shows" in out
    assert "increase(http_requests_total{" not in out


def test_explain_says_where_what_is_built_beside_a_policy_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for alert, page in (("BucketMissing", "wix-platform.BucketMissing.md"), ("Watchdog", "deploywatch_itself.md")):
        code, _, err = _run(capsys, "explain", _policy(tmp_path), alert)
        assert code == 2
        assert f"runbooks/{page} explains it" in err


@pytest.mark.parametrize("url", ["prometheus:9090", "notaurl", "ftp://prometheus", "http://"])
def test_what_is_no_url_is_no_server_that_is_away(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("check", "explain"):
        arguments: list[str | Path] = [_policy(tmp_path), *(["ManyErrors"] if command == "explain" else [])]
        code, out, err = _run(capsys, command, *arguments, "--prometheus", url)
        assert (code, out) == (2, "")
        assert "is no" in err


def test_explain_of_an_alert_that_is_none_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "explain", _policy(tmp_path), "ManyError")
    assert code == 2
    assert "did you mean 'ManyErrors'?" in err


def test_init_drafts_a_policy_that_builds_and_fits(
    tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "drafted.yml"
    code, out, err = _run(capsys, "init", "--prometheus", live.url, "--name", "wix", "--out", path)
    assert (code, err) == (0, ""), out
    policy = policy_from(path.read_text(), tmp_path)
    assert policy.series.requests is not None
    assert policy.series.requests.metric == "http_requests_total"
    assert policy.selectors["service"].values == ("wix-api", "wix-checkout")
    assert {"HighErrorRate", "Slow", "ServiceDown", "ProbeFails"} <= {alert.alert for alert in policy.alerts}
    assert _run(capsys, "test", path)[0] == 0
    code, found = checked(capsys, live, path)
    assert [one for one in found if one["grade"] == "fault"] == []
    assert code == 0


def test_init_writes_over_nothing(tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("mine")
    code, _, err = _run(capsys, "init", "--prometheus", live.url, "--out", path)
    assert (code, path.read_text()) == (2, "mine")
    assert "is there already" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "Wix_Shop"], "--name: 'Wix_Shop' is no name for a policy; use lower-case letters"),
        (["--name", " "], "--name: ' ' is no name for a policy"),
        (["--webhook-url", "nowhere"], "--webhook-url: 'nowhere' is not a URL"),
    ],
)
def test_init_takes_no_value_that_its_draft_would_be_refused_for(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, "init", "--prometheus", "http://127.0.0.1:1", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_past_of_no_length_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--prometheus", "http://127.0.0.1:1", "--over", "0s"]
    code, _, err = _run(capsys, "check", _policy(tmp_path), *asked)
    assert code == 2
    assert "--over: must be more than nothing" in err
