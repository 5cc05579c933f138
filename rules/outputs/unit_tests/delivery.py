"""promtool tests of the figures of delivery, from a ledger and from open incidents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from deploywatch.conventions import SEVERITIES, DeploymentMetric, IncidentMetric
from deploywatch.rules import promql
from deploywatch.rules.judgement import delivery
from deploywatch.rules.language.judgement import Delivery
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import seconds

_STATES = ("succeeded", "failed", "rolled_back", "running")


def tests(policy: Policy, figures: Delivery) -> Iterator[dict[str, Any]]:
    """Four deployments, of which two went well and one is under way; an incident of ten evaluations."""
    level, over, each = promql.level(), promql.duration(figures.over), delivery.interval(policy)
    expected = {
        f"{level}:deployments:changes{over}": "1",
        f"{level}:deployments:success_ratio": "0.666667",
        f"{level}:deployments:rollback_ratio": "0",
        f"{level}:deployment_duration_seconds:avg": "60",
    }
    yield _entry(
        policy, "delivery: two of three ended deployments went well", _four_deployments(policy), expected, each
    )
    opened = [(_series(policy, IncidentMetric.OPEN, severity=severity), "0x30") for severity in SEVERITIES[1:]]
    worst = (_series(policy, IncidentMetric.OPEN, severity=SEVERITIES[0]), "0x4 1x9 0x15")
    lasted = promql.number(seconds(10 * each))
    name = f"{level}:recovery_seconds:mean{over}"
    yield _entry(policy, "delivery: an incident of ten evaluations", [*opened, worst], {name: lasted}, each)
    yield _entry(policy, "delivery: no deployment, no incident", [], dict.fromkeys([*expected, name]), each)


def _four_deployments(policy: Policy) -> list[tuple[str, str]]:
    """Two that went well, one that failed, one under way; those that ended took 30 s and 90 s."""
    how = dict(zip(("v1", "v2", "v3", "v4"), ("succeeded", "failed", "succeeded", "running"), strict=True))
    statuses = [
        (_series(policy, DeploymentMetric.STATUS, version=version, status=state), f"{int(state == now)}x30")
        for version, now in how.items()
        for state in _STATES
    ]
    return [
        *statuses,
        (_series(policy, DeploymentMetric.STARTED, version="v1"), "100x30"),
        (_series(policy, DeploymentMetric.STARTED, version="v2"), "_x9 200x20"),
        (_series(policy, DeploymentMetric.FINISHED, version="v1"), "130x30"),
        (_series(policy, DeploymentMetric.FINISHED, version="v2"), "_x9 290x20"),
    ]


def _series(policy: Policy, metric: str, **more: str) -> str:
    labels = promql.sample_labels(policy) | more
    return promql.selector(metric, [(label, "=", text) for label, text in labels.items()])


def _entry(
    policy: Policy, name: str, inputs: list[tuple[str, str]], expected: Mapping[str, str | None], each: timedelta
) -> dict[str, Any]:
    labels = promql.sample_labels(policy) | {"policy": policy.policy}
    bears = promql.selector("", [(label, "=", text) for label, text in sorted(labels.items())])
    return {
        "name": name,
        "interval": promql.duration(each),
        "input_series": [{"series": series, "values": values} for series, values in inputs],
        "promql_expr_test": [
            {
                "expr": f"round({record}, 0.000001)",
                "eval_time": promql.duration(25 * each),
                "exp_samples": [] if value is None else [{"labels": bears, "value": Decimal(value)}],
            }
            for record, value in expected.items()
        ],
    }
