"""Functions of signals: each comes out in Prometheus as its examples say, and a misuse is pointed at."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import promql_parser
import pytest

from deploywatch.errors import ConfigError
from deploywatch.rules import conditions
from deploywatch.rules.build import build, write
from deploywatch.rules.conditions import FUNCTIONS
from deploywatch.rules.resolve import resolve
from deploywatch.rules.signals.signal import Group
from tests.rules.tools import GOOD, good, policy_from, promtool_test, run

ROLES = GOOD.replace(
    "metric: http_requests_total",
    "metric: http_requests_total, control: {label: deployment, new: canary, old: stable}",
)
USES = {
    "rise": "rise(latency_p95) > 50%",
    "drop": "drop(throughput) > 30%",
    "loss": "loss(revenue) > $1000",
    "zscore": "zscore(error_ratio) > 3",
    "seasonal_rise": "seasonal_rise(latency_p95) > 50%",
    "seasonal_drop": "seasonal_drop(throughput) > 30%",
    "correlation": "correlation(throughput, latency_p95) > 0.8",
    "trend": "trend(memory) > 0.9",
    "oscillation": "oscillation(throughput) > 10",
    "burn_rate": "burn_rate(error_ratio, 1h) > 14.4",
    "budget_left": "budget_left(error_ratio) < 20%",
    "canary": "canary(error_ratio) > 1%",
    "stable": "stable(error_ratio) > 1%",
    "present": "missing(throughput)",
    "remains": "gone(conversion_ratio)",
}
MORE = ["rise(queue_length) > 100%", "burn_rate(availability, 6h) > 6", "zscore(health) > 3", "missing(queue_length)"]


def test_every_function_is_used_here() -> None:
    assert set(USES) == set(FUNCTIONS)


def test_a_module_whose_function_no_condition_can_name_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [*pkgutil.iter_modules(conditions.__path__), pkgutil.ModuleInfo(None, "volatility", False)]  # type: ignore[arg-type] # nobody finds it
    monkeypatch.setattr(pkgutil, "iter_modules", lambda _: iter(there))
    with pytest.raises(TypeError, match=r"rules/conditions/volatility\.py makes: add it to FUNCTIONS"):
        importlib.reload(conditions)


@pytest.mark.parametrize(
    ("selectors", "uses"),
    [("selectors: {service: [a, b], environment: production}\n", [*USES.values(), *MORE]), ("", [USES["present"]])],
    ids=["named", "any"],
)
def test_every_function_gives_what_its_examples_say_and_passes_its_boundaries(
    tmp_path: Path, selectors: str, uses: list[str]
) -> None:
    alerts = ROLES[ROLES.index("  - alert: ") :]
    every = [
        alerts.replace("Sample", f"Sample{number}").replace("error_ratio > 1%", when)
        for number, when in enumerate(uses)
    ]
    text = ROLES.replace(alerts, "".join(every)).replace("alerts:\n", f"{selectors}alerts:\n")
    write(build([policy_from(text, tmp_path)]), tmp_path)
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *(tmp_path / "rules").glob("*.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool_test(sorted((tmp_path / "tests").glob("*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", USES)
def test_what_a_function_records_is_promql_and_follows_what_it_reads(tmp_path: Path, name: str) -> None:
    policy = policy_from(ROLES.replace("error_ratio > 1%", USES[name]), tmp_path)
    found = resolve(policy).records
    assert [record.group for record in found] == sorted((record.group for record in found), key=list(Group).index)
    seen: set[str] = set()
    for record in found:
        promql_parser.parse(record.expression)
        read = set(re.findall(r"service_environment\w*:[\w:]+", record.expression))
        # A baseline that was taken is read from the evaluation before.
        assert read <= seen | {record.name}, f"{record.name} reads {read - seen} before it is there"
        seen.add(record.name)


def test_a_function_is_a_signal_with_its_own_name_unit_and_series(tmp_path: Path) -> None:
    found = resolve(good(tmp_path, when="rise(latency_p95) > 50% and latency_p95 > 500ms")).signals
    assert list(found) == ["latency_p95", "rise(latency_p95)"]
    assert found["rise(latency_p95)"].signal.value(good(tmp_path, when="latency_p95 > 1s")) == (
        "service_environment:http_request_duration_seconds:p95_rate5m_rise"
    )


@pytest.mark.parametrize(
    ("when", "column", "message"),
    [
        ("raise(latency_p95) > 50%", 0, "unknown function 'raise'; did you mean 'rise'?"),
        ("rise(error_ration) > 50%", 5, "unknown signal 'error_ration'; did you mean 'error_ratio'?"),
        ("rise(latency_p95, throughput) > 50%", 0, "rise is written rise(error_ratio)"),
        ("correlation(throughput) > 0.5", 0, "correlation is written correlation(error_ratio, latency_p95)"),
        ("correlation(throughput, queue_length) > 0.5", 24, "correlation takes signals with one value for a service"),
        (
            "rise(latency_p95) > 500ms",
            20,
            "rise(latency_p95) is a ratio, and 500ms is in seconds; write a limit such as",
        ),
        ("rise(latency_p95) > 50", 20, "rise(latency_p95) is a ratio; write 50%"),
        ("loss(revenue) > 1000", 16, "loss(revenue) is in money; write $1000"),
        ("drop(throughput) > 130%", 19, "drop(throughput) > 130% can never be true"),
        ("rise(throughput) < -130%", 19, "rise(throughput) < -130% can never be true"),
        ("zscore(error_ratio) < 0", 22, "zscore(error_ratio) < 0 can never be true"),
        ("correlation(throughput, error_ratio) > 2", 39, "correlation(throughput, error_ratio) > 2 can never be true"),
        ("burn_rate(latency_p95, 1h) > 14", 10, "burn_rate takes error_ratio or availability, not latency_p95"),
        ("burn_rate(error_ratio, often) > 14", 23, "'often' is not a duration"),
        ("burn_rate(error_ratio, 1m) > 14", 23, "1m must be 6m or more: a twelfth of it must hold an interval, 30s"),
        ("correlation(error_ratio, error_ratio) > 0.8", 25, "correlation(error_ratio, error_ratio) is of one signal"),
        ("burn_rate(error_ratio, 7s) > 14", 23, "7s has no twelfth of whole seconds"),
        ("missing(throughputs)", 8, "unknown signal 'throughputs'; did you mean 'throughput'?"),
        ("rise(latency_p95 > 50%", 17, "'>' stands where `)` should be"),
    ],
)
def test_a_misuse_is_pointed_at(tmp_path: Path, when: str, column: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        good(tmp_path, when=when)
    (fault,) = caught.value.problems
    assert fault.message.startswith(message)
    line = next(line for line in ROLES.splitlines() if "when: " in line)
    assert fault.column == line.index("when: ") + len('when: "') + column + 1


def test_a_burn_rate_needs_an_objective(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="burn_rate needs the policy's objective; add one"):
        policy_from(
            ROLES.replace("objective: 99.9%\n", "").replace("error_ratio > 1%", "burn_rate(error_ratio, 1h) > 14"),
            tmp_path,
        )
    with pytest.raises(ConfigError, match="100% is no objective; write a share below 100%"):
        policy_from(ROLES.replace("99.9%", "100%"), tmp_path)
