"""A policy's dashboards asked of Prometheus's engine in promtool, over series made for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploywatch.conventions import SEVERITIES, DeploymentMetric, IncidentMetric
from deploywatch.grafana import signals
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import recorded_name, recorded_series
from deploywatch.rules.conditions.view import View
from deploywatch.rules.outputs import recording
from deploywatch.rules.outputs.emit import yaml
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.signals.signal import Group, InputSeries, steps
from tests.grafana.asking import BUILT_IN, choices, questions
from tests.rules.tools import promtool_test


def check(policy: ResolvedPolicy, models: Mapping[str, dict[str, Any]], folder: Path) -> None:
    """Evaluate the rules that measure over the signals' own raw series, and ask every query at the end."""
    rules = folder / "measured.yml"
    measured = [group for group in recording.groups(policy)["groups"] if group["name"].endswith(Group.SIGNALS)]
    rules.write_text(yaml({"groups": measured}))
    count = steps(policy.given)
    end = count * policy.given.interval
    started = end.total_seconds() * 2 / 3
    inputs = {
        one.series: one.values
        for one in (*_raw(policy), *_recorded(policy, count), *_told(policy.given, count, started))
    }
    asked = sorted({query for model in models.values() for query in _filled(model, started, end.total_seconds())})
    test = {
        "interval": promql.duration(policy.given.interval),
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
    file = {"rule_files": [rules.name], "evaluation_interval": promql.duration(policy.given.interval), "tests": [test]}
    path = folder / "answers.yml"
    path.write_text(yaml(file))
    done = promtool_test([path])
    assert done.returncode == 0, done.stdout + done.stderr


def _filled(model: dict[str, Any], started: float, length: float) -> Iterator[str]:
    values = {**BUILT_IN, "__range": f"{int(length)}s", **choices(model), "deployment": f"{started:.0f}"}
    values["earlier"] = "1m"
    yield from (question.filled_in(values) for question in questions(model))


def _raw(policy: ResolvedPolicy) -> Iterator[InputSeries]:
    """What the signals' own tests are made of: of each that is measured, an example that has a value."""
    own = {record.name for record in policy.records if record.group is Group.SIGNALS}
    for signal in signals.measured(policy):
        value, used = signal.value(policy.given), policy.signals.get(signal.name)
        bounds = used.bounds if used is not None else ()
        found = [one for one in signal.examples(policy.given, bounds) if one.expected.get(value) is not None]
        inputs = found[0].inputs if found else (recorded_series(policy.given, signal, f"1x{steps(policy.given)}"),)
        # Of a signal that is made of another's record, that other's own raw series are there already.
        yield from (one for one in inputs if one.series.partition("{")[0] not in own)


def _recorded(policy: ResolvedPolicy, count: int) -> Iterator[InputSeries]:
    """What rules make of signals, and of longer times than a test lasts, as if it had been recorded."""
    for used in policy.signals.values():
        # What a canary is shown beside is measured over series of its own.
        if isinstance(used.signal, View):
            for beside in used.signal.beside(policy.given).values():
                yield InputSeries(recorded_name(policy.given, beside), f"1x{count}")
    functions = signals.compared(policy)
    for signal in functions:
        yield recorded_series(policy.given, signal, f"0.5x{count}")
    shown = {signal.value(policy.given) for signal in functions}
    for record in policy.records:
        if record.group is not Group.SIGNALS and record.name not in shown:
            name = recorded_name(policy.given, record.name).removesuffix("}")
            labels = "".join(f',{label}="{text}"' for label, text in record.labels.items())
            yield InputSeries(f"{name}{labels}}}", f"1x{count}")


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
