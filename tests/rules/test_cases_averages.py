"""What an average hides: one hot container of ten, one target of two, slow reads, a probe that is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.raw_series import fires
from tests.rules.tools import GOOD, SHIPPED, good, policy_from, shipped

API = 'service="api",namespace="production"'
CPU = "container_cpu_usage_seconds_total"
POLICIES = [path.stem for path in SHIPPED]


def _seconds(share: float) -> str:
    """A counter of processor seconds, sampled every 30 s."""
    return f"0+{30 * share:g}x80"


def test_a_container_is_seen_beside_its_pause_container_and_its_pods_cgroup(tmp_path: Path) -> None:
    series = {
        f'{CPU}{{{API},pod="api-1",container="api",cpu="total"}}': _seconds(0.95),
        f'{CPU}{{{API},pod="api-1",container="POD",cpu="total"}}': _seconds(0),
        f'{CPU}{{{API},pod="api-1",cpu="total"}}': _seconds(0.95),
    }
    fires(shipped("insurance-lead-gen"), tmp_path, series, {"25m": {"HighCPUUsage"}}, only=["HighCPUUsage"])


def test_one_hot_pod_of_ten_is_seen(tmp_path: Path) -> None:
    series = {
        f'{CPU}{{{API},pod="api-{number}",container="api",cpu="total"}}': _seconds(0.95 if number == 3 else 0.1)
        for number in range(10)
    }
    fires(shipped("insurance-lead-gen"), tmp_path, series, {"25m": {"HighCPUUsage"}}, only=["HighCPUUsage"])


def test_a_pods_cgroup_above_the_limit_is_no_container(tmp_path: Path) -> None:
    """Two containers at 60 % of a core each: the pod's cgroup says 120 %."""
    series = {
        f'{CPU}{{{API},pod="api-1",container="api",cpu="total"}}': _seconds(0.6),
        f'{CPU}{{{API},pod="api-1",container="sidecar",cpu="total"}}': _seconds(0.6),
        f'{CPU}{{{API},pod="api-1",cpu="total"}}': _seconds(1.2),
    }
    fires(shipped("insurance-lead-gen"), tmp_path, series, {"25m": set()}, only=["HighCPUUsage"])


def test_one_hot_machine_of_ten_is_seen(tmp_path: Path) -> None:
    where = 'service="muammar",environment="production"'
    series = {
        f'node_cpu_seconds_total{{{where},instance="m{number}",cpu="{core}",mode="idle"}}': _seconds(
            0.05 if number == 3 else 0.9
        )
        for number in range(10)
        for core in range(2)
    }
    fires(shipped("data-scientist-msl"), tmp_path, series, {"25m": {"HighCpu"}}, only=["HighCpu"])


LABELS = {
    "data-scientist-msl": 'service="observe",environment="production"',
    "demo": 'service="shop",environment="demo"',
    "enterprise": 'service="user-service",environment="production"',
    "insurance-lead-gen": 'service="frontend",namespace="staging"',
    "virtual-queue": 'service="virtual-queue",environment="production"',
    "wix-platform": 'service="wix-api",environment="production"',
}
WAIT = {"demo": ("1m", "1s")}


@pytest.mark.parametrize("name", POLICIES)
def test_one_of_two_targets_that_is_down_is_said_as_that(tmp_path: Path, name: str) -> None:
    moment, _ = WAIT.get(name, ("10m", ""))
    series = {f'up{{{LABELS[name]},instance="a"}}': "1x80", f'up{{{LABELS[name]},instance="b"}}': "0x80"}
    only = ["TargetDown", "ServiceDown"]
    fires(shipped(name), tmp_path, series, {moment: {"TargetDown"}}, only=only)


@pytest.mark.parametrize("name", ["demo", "insurance-lead-gen"])
def test_a_service_whose_targets_are_gone_from_discovery_is_said_to_be_gone(tmp_path: Path, name: str) -> None:
    policy = shipped(name)
    others = [
        f'up{{{label}="{service}",{other}="{environment}",instance="a"}}'
        for label, other in (("service", "namespace" if name != "demo" else "environment"),)
        for service in policy.selectors["service"].values
        for environment in policy.selectors["environment"].values
        if f'{label}="{service}",{other}="{environment}"' != LABELS[name]
    ]
    series = dict.fromkeys(others, "1x200") | {f'up{{{LABELS[name]},instance="a"}}': "1x4 stale"}
    only = ["TargetDown", "ServiceDown", "ServiceGone"]
    fires(policy, tmp_path, series, {"2m" if name == "demo" else "15m": {"ServiceGone"}}, only=only)


def test_slow_reads_are_not_hidden_by_quick_writes(tmp_path: Path) -> None:
    where = 'service="order-service",environment="production",instance="m1"'
    series = {
        f'node_disk_read_time_seconds_total{{{where},device="sda"}}': "0+5x80",
        f'node_disk_reads_completed_total{{{where},device="sda"}}': "0+10x80",
        f'node_disk_write_time_seconds_total{{{where},device="sda"}}': "0+1x80",
        f'node_disk_writes_completed_total{{{where},device="sda"}}': "0+1000x80",
    }
    fires(shipped("enterprise"), tmp_path, series, {"20m": {"ComprehensiveLayer"}}, only=["ComprehensiveLayer"])


@pytest.mark.parametrize("name", ["enterprise", "wix-platform"])
def test_a_dependency_whose_probe_vanishes_is_unknown_and_that_is_said(tmp_path: Path, name: str) -> None:
    edge = f'service_dependency{{{LABELS[name]},depends_on="payments"}}'
    probe = 'probe_success{service="payments",environment="production",probe="web"}'
    only = ["DependencyUnknown", "DependencyDown"]
    series = {edge: "1x80", probe: "1x10 stale"}
    fires(shipped(name), tmp_path, series, {"4m": set(), "30m": {"DependencyUnknown"}}, only=only)


def test_ten_samples_are_enough_for_a_z_score(tmp_path: Path) -> None:
    """The enterprise document's figure: ten samples, here half a minute apart, and ten minutes that are left out."""
    policy = good(tmp_path, when="zscore(satisfaction) > 4", wait="0s")
    series = {'user_satisfaction_score{service="a",environment="b"}': "4.5 4.4x4 4.5x20 1x10"}
    fires(policy, tmp_path, series, {"12m30s": set(), "16m": {"Sample"}})


def test_the_cores_of_a_container_count_together(tmp_path: Path) -> None:
    text = GOOD.replace("  pool: {}", f"  pool: {{}}\n  cpu: {{metric: {CPU}, counts: used}}").replace(
        "error_ratio > 1%", "cpu > 80%"
    )
    policy = policy_from(text, tmp_path)
    where = 'service="a",environment="b",pod="a-1",container="a"'
    series = {f'{CPU}{{{where},cpu="cpu0{core}"}}': _seconds(0.7) for core in range(2)}
    fires(policy, tmp_path, series, {"15m": {"Sample"}})
