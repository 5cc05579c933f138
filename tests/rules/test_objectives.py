"""Objectives: page and ticket for errors, latency and probes, each of its own budget; what is left is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.rules.build import build, write
from deploywatch.rules.policy import Policy
from tests.rules.raw_series import fires
from tests.rules.tools import GOOD, policy_from, promtool_test

OBJECTIVES = """objectives:
  answers:
    of: error_ratio
    target: 99.9%
    page: {channels: [pagerduty], labels: {team: shop}, annotations: {runbook_hint: see the wiki}}
    ticket: {severity: low, action: ticket}
    source: {slo: Answers}
  quick: {of: latency, slower_than: 500ms, target: 99%, over: 28d, only: {endpoint: /pay}, source: {slo: Quick}}
  reachable: {of: availability, target: 99.5%, ticket: null, source: {slo: Reachable}}
"""


def _policy(folder: Path, text: str = OBJECTIVES) -> Policy:
    return policy_from(GOOD.replace("objective: 99.9%\n", text), folder)


def test_each_objective_pages_and_files_a_ticket_with_labels_of_its_own(tmp_path: Path) -> None:
    alerts = {alert.alert: alert for alert in _policy(tmp_path).alerts}
    both = {f"{name}Budget{kind}" for name in ("Answers", "Quick") for kind in ("Page", "Ticket")}
    assert set(alerts) == {"Sample", "ReachableBudgetPage"} | both
    page = alerts["AnswersBudgetPage"]
    assert page.when == "burn_rate(answers, 1h) > 14.4 or burn_rate(answers, 6h) > 6"
    assert (page.severity, page.channels, page.labels) == ("critical", ("pagerduty",), {"team": "shop"})
    assert alerts["AnswersBudgetTicket"].action == "ticket"
    assert alerts["QuickBudgetTicket"].severity == "medium"


def test_what_objectives_build_to_passes_its_own_tests(tmp_path: Path) -> None:
    files = build([_policy(tmp_path)])
    write(files, tmp_path)
    done = promtool_test(sorted((tmp_path / "tests").glob("mine.*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "budget_left" in files["rules/mine.recording.yml"]
    assert "see the wiki" in files["rules/mine.alerts.yml"]


@pytest.mark.parametrize(("slow", "firing"), [(20, ["QuickBudgetPage"]), (5, []), (0, [])])
def test_latency_pages_when_its_budget_goes_14_times_too_fast(tmp_path: Path, slow: int, firing: list[str]) -> None:
    def bucket(le: str, endpoint: str, each: int) -> dict[str, str]:
        labels = f'service="shop",environment="production",endpoint="{endpoint}",le="{le}"'
        return {f"http_request_duration_seconds_bucket{{{labels}}}": f"0+{each}x200"}

    series = bucket("0.5", "/pay", 100 - slow) | bucket("+Inf", "/pay", 100) | bucket("0.5", "/", 10_000)
    series |= bucket("+Inf", "/", 10_000)
    fires(_policy(tmp_path), tmp_path, series, {"80m": firing}, only=["QuickBudgetPage"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{of: latency, target: 99%, source: {slo: X}}", "`slower_than` is for `of: latency`"),
        ("{of: latency, slower_than: 700ms, target: 99%, source: {slo: X}}", "has no bucket at 700ms"),
        ("{of: error_ratio, target: 100%, source: {slo: X}}", "is no objective"),
        ("{of: error_ratio, target: 99%, source: {sol: X}}", "unknown source 'sol'; did you mean 'slo'"),
        ("{of: error_ratio, role: canary, target: 99%, source: {slo: X}}", "has no series of canary"),
    ],
)
def test_an_objective_that_cannot_be_counted_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        _policy(tmp_path, f"objectives:\n  mine: {text}\n")
    assert said in str(error.value)


def test_the_name_of_a_signal_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="error_ratio is a signal already"):
        _policy(tmp_path, "objectives:\n  error_ratio: {of: error_ratio, target: 99%, source: {slo: X}}\n")
