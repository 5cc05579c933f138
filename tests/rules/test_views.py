"""An alert about a part of the series: a canary beside the stable version, one endpoint, another window."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.rules.build import build, write
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from tests.rules.raw_series import fires
from tests.rules.tools import GOOD, policy_from, promtool_test

CONTROL = ", control: {label: deployment, new: canary, old: stable}"
WELL, BAD = "0+980x60", "0+20x60"


def _policy(folder: Path, when: str, more: str = "", *, control: str = CONTROL) -> Policy:
    text = GOOD.replace("metric: http_requests_total", f"metric: http_requests_total{control}")
    text = text.replace("1s, 2s]}", f"1s, 2s]{control}}}").replace("error_ratio > 1%", f'"{when}"')
    return policy_from(text.replace("    for: 2m\n", f"    for: 2m\n{more}"), folder)


def _requests(status: str, more: str) -> str:
    return f'http_requests_total{{service="shop",environment="production",status="{status}",{more}}}'


def _roles(canary_bad: str, stable_bad: str) -> dict[str, str]:
    return {
        _requests("200", 'deployment="canary"'): "0+96x60",
        _requests("500", 'deployment="canary"'): canary_bad,
        _requests("200", 'deployment="stable"'): "0+900x60",
        _requests("500", 'deployment="stable"'): stable_bad,
    }


@pytest.mark.parametrize(
    ("when", "more"), [("canary(error_ratio) > 0.5%", ""), ("error_ratio > 0.5%", "    role: canary\n")]
)
def test_a_canary_with_a_tenth_of_the_traffic_that_fails_4_percent_is_seen(
    tmp_path: Path, when: str, more: str
) -> None:
    policy = _policy(tmp_path, when, more)
    fires(policy, tmp_path / "sick", _roles("0+4x60", "0x60"), {"20m": ["Sample"]})
    fires(policy, tmp_path / "well", _roles("0x60", "0+90x60"), {"20m": []})


def test_a_canary_that_is_worse_than_stable_fires_and_one_that_suffers_with_it_does_not(tmp_path: Path) -> None:
    policy = _policy(tmp_path, "canary(error_ratio) > 1% and stable(error_ratio) < 1%")
    fires(policy, tmp_path / "worse", _roles("0+4x60", "0x60"), {"20m": ["Sample"]})
    fires(policy, tmp_path / "both", _roles("0+4x60", "0+40x60"), {"20m": []})


def test_one_endpoint_that_half_fails_is_not_hidden_by_health_checks(tmp_path: Path) -> None:
    series = {
        _requests("200", 'endpoint="/healthz"'): "0+9000x60",
        _requests("200", 'endpoint="/pay"'): "0+5x60",
        _requests("500", 'endpoint="/pay"'): "0+5x60",
    }
    for more in ("    only: {endpoint: /pay}\n", "    excluding: {endpoint: /healthz}\n"):
        fires(_policy(tmp_path, "error_ratio > 1%", more), tmp_path / more.strip()[:4], series, {"20m": ["Sample"]})
    fires(_policy(tmp_path, "error_ratio > 1%"), tmp_path / "all", series, {"20m": []})


def test_another_window_sees_what_is_over_in_the_policy_s_own(tmp_path: Path) -> None:
    series = {_requests("200", 'endpoint="/"'): "0+100x120", _requests("500", 'endpoint="/"'): "0+10x20 200x100"}
    fires(_policy(tmp_path, "error_ratio > 1%", "    window: 1h\n"), tmp_path / "hour", series, {"40m": ["Sample"]})
    fires(_policy(tmp_path, "error_ratio > 1%"), tmp_path / "five", series, {"40m": []})


@pytest.mark.parametrize(
    ("when", "more"),
    [
        ("canary(error_ratio) > 0.5%", ""),
        ("canary(latency_p95) > 1s", ""),
        ("latency_p99 > 1s or error_ratio > 2%", "    only: {endpoint: [/pay, /cart], method: POST}\n"),
        ("error_ratio > 2%", "    role: canary\n    excluding: {endpoint: /healthz}\n    window: 10m\n"),
        ("throughput < 10/s", "    window: 30m\n    excluding: {endpoint: /healthz}\n"),
        ("rise(error_ratio) > 50%", "    role: canary\n"),
        ("burn_rate(error_ratio, 1h) > 14.4", "    excluding: {endpoint: /healthz}\n"),
        ("missing(throughput)", "    only: {endpoint: /pay}\n"),
        ("cpu > 90%", "    only: {container: app}\n"),
        ("error_ratio > 2%", "    role: canary\n    tighter: [{within: 1h after deployment, limit: 1%}]\n"),
        ("queue_length > 100", "    only: {queue: mail}\n"),
    ],
)
def test_what_a_view_builds_to_passes_its_own_tests(tmp_path: Path, when: str, more: str) -> None:
    policy = _policy(tmp_path, when, more)
    write(build([policy]), tmp_path)
    done = promtool_test(sorted((tmp_path / "tests").glob("mine.*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("when", "more", "control", "text"),
    [
        ("canary(error_ratio) > 1%", "", "", "series.requests has no series of canary: it needs a control"),
        ("canary(cpu) > 90%", "", CONTROL, "series.cpu has no series of canary"),
        ("error_ratio > 1%", "    role: canary\n", "", "series.requests has no series of canary"),
        ("error_ratio > 1%", "    role: new\n", CONTROL, "role"),
        ("error_ratio > 1%", "    role: canary\n    only: {deployment: stable}\n", CONTROL, "nothing is left"),
        (
            "error_ratio > 1%",
            "    only: {endpoint: /pay}\n    excluding: {endpoint: /p.*}\n",
            CONTROL,
            "nothing is left",
        ),
        ("error_ratio > 1%", "    window: 30s\n", CONTROL, "window"),
    ],
)
def test_a_part_that_is_not_there_is_refused(tmp_path: Path, when: str, more: str, control: str, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        _policy(tmp_path, when, more, control=control)
    assert text in str(error.value)


def test_the_runbook_asks_about_the_part_and_shows_stable_beside_the_canary(tmp_path: Path) -> None:
    policy = _policy(tmp_path, "canary(error_ratio) > 1%", "")
    page = build([policy])["runbooks/mine.Sample.md"]
    assert 'deployment="canary"' in page
    assert "of stable, beside it" in page
    assert any("requests_stable" in record.name for record in resolve(policy).records)
