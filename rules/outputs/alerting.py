"""Alerting rules: what a policy's alerts are to Prometheus, with the labels and annotations that the receiver reads."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import format_duration
from deploywatch.rules import links, promql
from deploywatch.rules.outputs import bucket_alerts, wording
from deploywatch.rules.outputs.emit import Remarked
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy


def own_labels(policy: Policy, alert: Alert) -> dict[str, str]:
    """The labels that every alert of this rule bears, beside those of its series; the policy's own first."""
    # Ours last: a label that means something to routes and to the receiver cannot be written over by a policy.
    return alert.labels | {
        AlertLabel.SEVERITY: alert.severity,
        AlertLabel.INCIDENT_TYPE: alert.incident_type,
        AlertLabel.ACTION: alert.action,
        AlertLabel.POLICY: policy.policy,
    }


def templates(policy: Policy, alert: ResolvedAlert) -> dict[str, str]:
    """The annotations, as Prometheus templates."""
    return _present(
        {
            AlertAnnotation.SUMMARY: wording.template(policy, alert, alert.given.summary),
            AlertAnnotation.DESCRIPTION: wording.template(policy, alert, wording.description(alert)),
            AlertAnnotation.VALUE: wording.template(policy, alert, "{value}"),
            AlertAnnotation.DASHBOARD_URL: links.dashboard_url(policy),
        }
        | {name: wording.template(policy, alert, text) for name, text in alert.given.annotations.items()}
        | _fixed(policy, alert)
    )


def rendered(
    policy: Policy, alert: ResolvedAlert, labels: Mapping[str, str], values: Mapping[str, Decimal]
) -> dict[str, str]:
    """The annotations as Prometheus gives them out for an alert with these labels and values."""
    return _present(
        {
            name: wording.rendered(alert, text, labels, values)
            for name, text in (
                (AlertAnnotation.SUMMARY, alert.given.summary),
                (AlertAnnotation.DESCRIPTION, wording.description(alert)),
                (AlertAnnotation.VALUE, "{value}"),
                *alert.given.annotations.items(),
            )
        }
        | {AlertAnnotation.DASHBOARD_URL: links.dashboard_url(policy, labels)}
        | _fixed(policy, alert)
    )


def origin(policy: Policy, alert: Alert) -> str:
    """Where the alert's numbers come from, in one line."""
    return "; ".join(
        f"{policy.sources[name]}: {section}" if section else str(policy.sources[name])
        for name, section in alert.source.items()
    )


def groups(policy: ResolvedPolicy) -> dict[str, Any]:
    """The file of alerting rules, as data."""
    given = policy.given
    rules = [Remarked(_remarks(given, alert), _rule(given, alert)) for alert in policy.alerts]
    rules += bucket_alerts.rules(policy)
    group = {"name": f"{given.policy}.alerts", "interval": promql.duration(given.interval), "rules": rules}
    return {"groups": [group]}


def _rule(policy: Policy, alert: ResolvedAlert) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.given.alert, "expr": alert.expression}
    if alert.given.for_:
        rule["for"] = promql.duration(alert.given.for_)
    if alert.given.keep_firing_for:
        rule["keep_firing_for"] = promql.duration(alert.given.keep_firing_for)
    return rule | {"labels": own_labels(policy, alert.given), "annotations": templates(policy, alert)}


def _remarks(policy: Policy, alert: ResolvedAlert) -> tuple[str, ...]:
    wait = f" for {format_duration(alert.given.for_)}" if alert.given.for_ else ", at once"
    kept = f", kept for {format_duration(alert.given.keep_firing_for)}" if alert.given.keep_firing_for else ""
    stepping = [str(limit) for limit in alert.limits]
    condition = "; ".join(stepping) if stepping else alert.given.when
    return (f"{condition}{wait}{kept}", f"source: {origin(policy, alert.given)}")


def _fixed(policy: Policy, alert: ResolvedAlert) -> dict[str, str | None]:
    """What is known before the alert fires."""
    return {
        AlertAnnotation.THRESHOLD: wording.threshold(alert),
        AlertAnnotation.CHANNELS: ",".join(alert.given.channels),
        # None and not 0: "at once" and "as the config says" are two things.
        AlertAnnotation.ESCALATE_AFTER: None
        if alert.given.escalate_after is None
        else promql.duration(alert.given.escalate_after),
        AlertAnnotation.SOURCE: origin(policy, alert.given),
        AlertAnnotation.RUNBOOK_URL: links.runbook_url(policy, alert.given.alert),
    }


def _present(given: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in given.items() if text}
