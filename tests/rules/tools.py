"""What the tests of rules share: a good policy to vary, and the real promtool and amtool."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from deploywatch.rules.builtin_policies import POLICIES
from deploywatch.rules.loading import load
from deploywatch.rules.policy import Policy

GOOD = """
policy: mine
about: A service of ours.
sources:
  slo: {title: Our objectives}
series:
  requests: {metric: http_requests_total}
  durations: {metric: http_request_duration_seconds, buckets: [100ms, 500ms, 1s, 2s]}
  database: {metric: db_query_duration_seconds, buckets: [50ms, 100ms, 500ms, 1s]}
  pool: {}
  conversions: {}
  revenue: {}
  complaints: {}
  sessions: {}
  satisfaction: {}
interval: 30s
window: 5m
objective: 99.9%
receiver: {url: "http://127.0.0.1:9872/webhook/alertmanager"}
alerts:
  - alert: Sample
    when: error_ratio > 1%
    for: 2m
    severity: critical
    incident_type: deployment_failure
    action: rollback
    channels: [slack]
    summary: "{service} fails"
    source: {slo: Errors}
"""
FRUGAL = {"GOGC": "400"}
"""Go collects its garbage at five times what is alive, not at twice: a fifth of promtool's time."""
SHIPPED = sorted(POLICIES.glob("*.yml"))


LARGEST = "insurance-lead-gen"
"""The policy with the most alerts, whose kinds the others have too: half of the time of what is played."""


def heavy_where_it_is_largest(names: Sequence[str]) -> list[ParameterSet]:
    """Parameters of a test that the gate runs for every policy but the largest."""
    return [pytest.param(name, marks=[pytest.mark.heavy] if name == LARGEST else []) for name in names]


def policy_from(text: str, folder: Path) -> Policy:
    """Load a policy from its text."""
    path = folder / "policy.yml"
    path.write_text(text)
    return load(path, variables={})


def good(folder: Path, *, when: str, wait: str = "2m") -> Policy:
    """The good policy with another condition."""
    return policy_from(
        GOOD.replace("when: error_ratio > 1%", f'when: "{when}"').replace("for: 2m", f"for: {wait}"), folder
    )


def shipped(name: str) -> Policy:
    """A policy that comes with deploywatch, as built without environment variables."""
    return load(POLICIES / f"{name}.yml", variables={})


def run(program: str, *arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of Prometheus's tools; a test fails when it is not installed."""
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is not on the PATH; scripts/test installs it")
    return subprocess.run(
        [path, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False, env=os.environ | FRUGAL
    )


def promtool_test(tests: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    """`promtool test rules`."""
    return run("promtool", "test", "rules", *tests)
