"""The set of signals is complete: every module is registered, explained and tried."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from deploywatch import rules
from deploywatch.rules.build import build, write
from deploywatch.rules.outputs.wording import FORMS
from deploywatch.rules.resolve import resolve
from deploywatch.rules.signals import SIGNALS
from deploywatch.rules.signals.signal import Signal
from tests.rules.tools import GOOD, good, policy_from, promtool_test, shipped

PAGES = Path(__file__).parents[2] / "docs" / "signals"
MODULES = {
    f"{path.parent.name}.{path.stem}"
    for path in Path(rules.__path__[0], "signals").glob("*/*.py")
    if path.stem != "__init__"
}
LIMITS = {
    "error_ratio": "> 1%",
    "latency_p95": "> 500ms",
    "throughput": "< 10/s",
    "availability": "< 99%",
    "service_up": "== 0",
    "targets_up": "< 100%",
    "health": "== 0",
    "queue_length": "> 1000",
    "latency_p99": "> 1s",
    "latency_max": "> 2s",
    "latency_mean": "> 300ms",
    "throughput_per_minute": "< 600",
    "throughput_mean": "< 10/s",
    "throughput_peak": "> 1000/s",
    "dependency_up": "== 0",
    "dependency_probed": "== 0",
    "deployment_ok": "== 0",
    "active_connections": "> 500",
    "cpu": "> 80%",
    "memory": "> 85%",
    "disk": "> 85%",
    "disk_latency": "> 100ms",
    "network": "> 100MB",
    "db_latency_p95": "> 500ms",
    "connection_pool": "> 80%",
    "conversion_ratio": "< 2%",
    "revenue": "< $1000",
    "user_sessions": "< 10",
    "satisfaction": "< 4.0",
    "complaints": "> 100",
}


def test_every_module_gives_signals_that_are_registered_and_none_is_left_out() -> None:
    registered = set()
    for name in MODULES:
        module = importlib.import_module(f"deploywatch.rules.signals.{name}")
        given = getattr(module, "SIGNALS", None) or (module.SIGNAL,)
        assert all(SIGNALS[one.name] is one for one in given)
        assert any(f"{one.name}" in (module.__doc__ or "") for one in given)
        registered |= {one.name for one in given}
    assert registered == set(SIGNALS)


def test_every_signal_has_a_page_and_every_page_a_signal() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {"README"} == set(SIGNALS)


def test_the_list_of_pages_names_every_signal() -> None:
    listed = re.findall(r"\]\((\w+)\.md\)", (PAGES / "README.md").read_text())
    assert sorted(listed) == sorted(SIGNALS)


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
def test_a_page_says_what_the_signal_is_and_in_which_unit(signal: Signal) -> None:
    page = (PAGES / f"{signal.name}.md").read_text()
    assert page.startswith(f"# {signal.name}\n\n{signal.about}\n")
    assert f"\nUnit: {signal.unit.value}, " in page
    assert "```yaml" in page


@pytest.mark.parametrize("name", LIMITS)
def test_a_page_shows_what_is_really_recorded(tmp_path: Path, name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    policy = good(tmp_path, when=f"{name} {LIMITS[name]}")
    used = resolve(policy).signals[name]
    shown = re.sub(r"\s+", " ", page)
    for record in used.signal.records(policy, used.bounds):
        assert f"`{record.name}`" in page
        assert re.sub(r"\s+", " ", record.expression) in shown


def test_every_signal_is_used_in_a_limit_here() -> None:
    assert set(LIMITS) == set(SIGNALS)


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
def test_values_of_its_unit_can_be_written_for_people(signal: Signal) -> None:
    assert signal.unit in FORMS


def test_every_signal_is_recorded_from_raw_series_as_its_examples_say(tmp_path: Path) -> None:
    """All signals in one policy, through promtool: raw counters, gauges and buckets to each recorded value."""
    policy = good(tmp_path, when=" or ".join(f"{name} {limit}" for name, limit in LIMITS.items()))
    write(build([policy]), tmp_path)
    done = promtool_test(sorted(path for path in (tmp_path / "tests").glob("*.yml") if "boundaries" not in path.name))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "series",
    [
        "cpu: {metric: container_cpu_usage_seconds_total, counts: used, only: {}}",
        "memory: {metric: container_memory_working_set_bytes, total: container_spec_memory_limit_bytes, counts: used}",
        "durations: {metric: http_request_duration_ms, unit: ms, buckets: [100ms, 500ms, 1s, 2s]}",
        "network: {metric: node_network_receive_bytes_total, labels: {service: app, environment: stage}}",
    ],
)
def test_other_exporters_series_give_the_same_values(tmp_path: Path, series: str) -> None:
    used = ("cpu", "memory", "network", "latency_p95", "latency_p99", "latency_mean")
    text = GOOD.replace("error_ratio > 1%", " or ".join(f"{name} {LIMITS[name]}" for name in used))
    text = re.sub(rf"  {series.partition(':')[0]}: .*\n", "", text).replace("series:\n", f"series:\n  {series}\n")
    write(build([policy_from(text, tmp_path)]), tmp_path)
    done = promtool_test(sorted((tmp_path / "tests").glob("*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_signal_of_the_demo_has_examples_and_queries() -> None:
    policy = shipped("demo")
    for used in resolve(policy).signals.values():
        assert len(used.signal.examples(policy, used.bounds)) >= 2
        assert used.signal.diagnosis(policy)
