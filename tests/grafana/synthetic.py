"""A policy's dashboards asked of Prometheus's engine in promtool, over series made for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploywatch.conventions import SEVERITIES, DeploymentMetric, IncidentMetric
from rules import promql, recording
from rules.build import rule_files
from rules.emit import yaml
from rules.policy import Policy
from rules.signals.signal import InputSeries, steps
from tests.grafana.asking import BUILT_IN, choices, questions
from tests.rules.tools import promtool_test


def check(policy: Policy, models: Mapping[str, dict[str, Any]], folder: Path) -> None:
    """Evaluate the policy's recording rules over its signals' own raw series, and every query at the end."""
    rules = [name for name, text in rule_files(policy) if _write(folder / name, text) and "recording" in name]
    count = steps(policy)
    end = count * policy.interval
    started = end.total_seconds() * 2 / 3
    inputs = {one.series: one.values for one in (*_raw(policy), *_told(policy, count, started))}
    asked = sorted({query for model in models.values() for query in _filled(model, started, end.total_seconds())})
    test = {
        "interval": promql.duration(policy.interval),
        "input_series": [{"series": series, "values": values} for series, values in inputs.items()],
        "promql_expr_test": [
            {
                "expr": f"count({query}) > bool 0",
                "eval_time": promql.duration(end),
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
            for query in asked
        ],
    }
    file = {"rule_files": rules, "evaluation_interval": promql.duration(policy.interval), "tests": [test]}
    path = folder / "answers.yml"
    path.write_text(yaml(file))
    done = promtool_test([path])
    assert done.returncode == 0, done.stdout + done.stderr


def _write(path: Path, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return True


def _filled(model: dict[str, Any], started: float, length: float) -> Iterator[str]:
    values = {**BUILT_IN, "__range": f"{int(length)}s", **choices(model), "deployment": f"{started:.0f}"}
    values["earlier"] = "1m"
    yield from (question.filled_in(values) for question in questions(model))


def _raw(policy: Policy) -> Iterator[InputSeries]:
    """What the signals' own tests are made of: of each, an example that has a value."""
    for signal, bounds in recording.signals(policy).values():
        value = signal.value(policy)
        examples = signal.examples(policy, bounds)
        yield from next(one.inputs for one in examples if one.expected.get(value) is not None)


def _told(policy: Policy, count: int, started: float) -> Iterator[InputSeries]:
    """The ledger, an open incident, and an alert that fires."""
    where = promql.sample_labels(policy)

    def series(metric: str, **labels: str) -> str:
        return promql.selector(metric, [(name, "=", value) for name, value in (where | labels).items()])

    for version, at, status in (("1", started / 2, "succeeded"), ("2", started, "rolled_back")):
        yield InputSeries(series(DeploymentMetric.STARTED, version=version), f"{at:.0f}x{count}")
        yield InputSeries(series(DeploymentMetric.FINISHED, version=version), f"{at + 60:.0f}x{count}")
        for one in ("running", "succeeded", "failed", "rolled_back"):
            yield InputSeries(
                series(DeploymentMetric.STATUS, version=version, status=one), f"{int(one == status)}x{count}"
            )
    yield InputSeries(series(DeploymentMetric.INFO, version="2"), f"1x{count}")
    half = count // 2
    for severity in SEVERITIES:
        # One incident came and went, and one is open.
        yield InputSeries(series(IncidentMetric.OPEN, severity=severity), f"1x{half} 0x3 1x{count - half - 3}")
    for alert in policy.alerts[:1]:
        name = series("ALERTS", alertname=alert.alert, alertstate="firing", policy=policy.policy, severity="critical")
        yield InputSeries(name, f"1x{count}")
