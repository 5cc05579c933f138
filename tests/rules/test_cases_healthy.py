"""What is healthy fires nothing: a service without a database, a quiet staging, a night without visits."""

from __future__ import annotations

from pathlib import Path

from deploywatch.rules.language.selectors import read_selector
from deploywatch.rules.policy import Policy
from tests.rules.raw_series import fires
from tests.rules.tools import shipped

FRONTEND = 'service="frontend",namespace="staging"'
PROBED = 'service="frontend",environment="staging",probe="web"'
SAMPLES = 200


def _frontend() -> Policy:
    """Policy 001, of which the test plays one service in one environment."""
    selectors = {"service": read_selector("frontend"), "environment": read_selector("staging")}
    return shipped("insurance-lead-gen").model_copy(update={"selectors": selectors})


def _healthy() -> dict[str, str]:
    """A frontend in staging, without a database, revenue or sessions: 2 requests a second, all quick and good."""
    every = f"0+60x{SAMPLES}"
    return {
        f'up{{{FRONTEND},instance="a"}}': f"1x{SAMPLES}",
        f'http_requests_total{{{FRONTEND},status="200",instance="a"}}': every,
        **{
            f'http_request_duration_seconds_bucket{{{FRONTEND},instance="a",le="{bound}"}}': every
            for bound in ("0.05", "0.1", "0.25", "0.5", "0.8", "1", "1.5", "2", "5", "10", "+Inf")
        },
        f'container_cpu_usage_seconds_total{{{FRONTEND},container="web",pod="web-1",cpu="total"}}': f"0+6x{SAMPLES}",
        f"probe_success{{{PROBED}}}": f"1x{SAMPLES}",
    }


def test_a_healthy_frontend_without_a_database_fires_nothing_however_few_come(tmp_path: Path) -> None:
    fires(_frontend(), tmp_path, _healthy(), {"30m": set(), "95m": set()})


def test_revenue_that_was_there_and_is_gone_is_missed(tmp_path: Path) -> None:
    series = _healthy() | {f"revenue_total{{{FRONTEND}}}": "0+50x30 stale"}
    fires(_frontend(), tmp_path, series, {"14m": set(), "50m": {"MetricsMissing"}}, only=["MetricsMissing"])


def test_a_night_without_visits_and_queries_is_no_loss_of_their_metrics(tmp_path: Path) -> None:
    quiet = "0+5x30 150x170"
    series = _healthy() | {
        f"visits_total{{{FRONTEND}}}": quiet,
        f"conversions_total{{{FRONTEND}}}": "0+1x30 30x170",
        **{f'db_query_duration_seconds_bucket{{{FRONTEND},le="{bound}"}}': quiet for bound in ("0.1", "0.5", "+Inf")},
    }
    fires(_frontend(), tmp_path, series, {"14m": set(), "60m": set()}, only=["MetricsMissing"])
