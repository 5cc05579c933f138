"""Alerts about deploywatch itself, and the watchdog: in each build, because a watcher that is blind looks healthy.

Silence means health only while rules are evaluated, alerts are delivered, probes run and jobs are done. The series are
Prometheus's, Alertmanager's, the exporter's and the receiver's own, as Prometheus scrapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertAnnotation, AlertLabel
from deploywatch.quantity import format_duration
from deploywatch.rules import promql
from deploywatch.rules.outputs.emit import Remarked
from deploywatch.rules.outputs.self_alert_list import NAME, SelfAlert, alerts
from deploywatch.rules.policy import Policy

POLICY = "deploywatch"
"""The label `policy` of these alerts."""

WHERE = {SERVICE: "monitoring", ENVIRONMENT: "default"}
"""Service and environment of these alerts: those of the incident that a silent watchdog opens, which they join."""

INTERVAL = timedelta(seconds=30)


def groups(policies: Sequence[Policy]) -> dict[str, Any]:
    """The file of these rules, as data."""
    rules = [Remarked(_remarks(alert), _rule(policies, alert)) for alert in alerts(policies)]
    return {"groups": [{"name": f"{NAME}.alerts", "interval": promql.duration(INTERVAL), "rules": rules}]}


def _remarks(alert: SelfAlert) -> tuple[str, ...]:
    return (f"{alert.name}: {alert.why}",)


def labels(alert: SelfAlert) -> dict[str, str]:
    """The labels that every alert of this rule bears."""
    return {
        AlertLabel.SEVERITY: alert.severity,
        **WHERE,
        AlertLabel.INCIDENT_TYPE: "monitoring_failure",
        AlertLabel.ACTION: "notify",
        AlertLabel.POLICY: POLICY,
    }


def _rule(policies: Sequence[Policy], alert: SelfAlert) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expression}
    if alert.wait:
        rule["for"] = promql.duration(alert.wait)
    runbooks = next((policy.links.runbooks for policy in policies if policy.links.runbooks), None)
    annotations = {
        AlertAnnotation.SUMMARY: alert.summary,
        AlertAnnotation.DESCRIPTION: f"{alert.why[:1].upper()}{alert.why[1:]}.",
        AlertAnnotation.VALUE: "{{ $value }}",
        AlertAnnotation.SOURCE: "deploywatch: alerts about itself",
        **({AlertAnnotation.RUNBOOK_URL: f"{runbooks}/{NAME}.md#{alert.name.lower()}"} if runbooks else {}),
    }
    return rule | {"labels": labels(alert), "annotations": annotations}


def page(policies: Sequence[Policy]) -> str:
    """The runbook of all of them, a section each."""
    return "\n".join(("# Alerts about deploywatch itself\n", *(_section(alert) for alert in alerts(policies))))


def _section(alert: SelfAlert) -> str:
    wait = f", for {format_duration(alert.wait)}" if alert.wait else ", at once"
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(alert.mitigation, 1))
    why = f"{alert.why[:1].upper()}{alert.why[1:]}."
    return (
        f"## {alert.name}\n\n{alert.severity}. It fires when this has a value{wait}:\n\n"
        f"```promql\n{alert.expression}\n```\n\n{why}\n\n{steps}\n"
    )
