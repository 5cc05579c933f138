"""The runbook page of an alert: meaning, impact, diagnosis with queries ready to paste, mitigation, source."""

from __future__ import annotations

from collections.abc import Iterator

from deploywatch.conventions import DeploymentMetric
from deploywatch.quantity import format_duration
from deploywatch.rules.conditions import deployments, thresholds
from deploywatch.rules.outputs import alerting
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAlert
from deploywatch.rules.signals.signal import Query

_DONE = {
    "rollback": "deploywatch rolls back to the previous version, when its brakes allow that, and verifies it.",
    "notify": "deploywatch tells the team.",
    "escalate": "deploywatch escalates to the next level at once.",
    "investigate": "deploywatch collects what is known and adds it to the incident.",
    "log": "deploywatch keeps it in the incident's timeline.",
    "scale": "deploywatch scales the service, when its brakes allow that.",
    "ticket": "deploywatch files a ticket.",
    "status_page": "deploywatch updates the status page.",
    "run": "deploywatch runs the command that the receiver's configuration names.",
}


def page(policy: Policy, alert: ResolvedAlert) -> str:
    """The page, as Markdown."""
    sections = [
        f"# {alert.given.alert}",
        f"{alert.given.severity}, of policy `{policy.policy}`: {policy.about}",
        "## Meaning",
        *_meaning(alert),
        "## Impact",
        alert.given.impact or _unstated_impact(alert),
        "## Diagnosis",
        *_diagnosis(policy, alert),
        "## Mitigation",
        _mitigation(alert),
        "## Source",
        _source(policy, alert),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _meaning(alert: ResolvedAlert) -> Iterator[str]:
    wait = f", for {format_duration(alert.given.for_)}" if alert.given.for_ else ""
    stepping = alert.limits
    conditions = (
        " or ".join(f"`{limit.comparison}`" + _during(limit) for limit in stepping)
        if stepping
        else f"`{alert.given.when}`"
    )
    kept = (
        f" It is kept for {format_duration(alert.given.keep_firing_for)} after that."
        if alert.given.keep_firing_for
        else ""
    )
    yield f"It fires when {conditions}{wait}.{kept}"
    signals = {limit.signal.name: limit.signal for limit in alert.terms}
    yield "\n".join(f"- `{signal.name}`: {signal.about}" for signal in signals.values())


def _during(limit: thresholds.Limit) -> str:
    return f" within {limit.window.said}" if limit.window is not None else " at any other time"


def _unstated_impact(alert: ResolvedAlert) -> str:
    severity, kind = alert.given.severity, alert.given.incident_type
    return f"The policy does not state it; its severity is {severity}, its incident type {kind}."


def _diagnosis(policy: Policy, alert: ResolvedAlert) -> Iterator[str]:
    yield _query(Query("The alert's own condition", alert.expression))
    asked: dict[str, Query] = {}
    for term in alert.terms:
        asked |= {query.expression: query for query in term.signal.diagnosis(policy)}
    yield from (_query(query) for query in asked.values())
    started = deployments.held(policy, DeploymentMetric.STARTED)
    yield _query(Query("What was deployed, and how many seconds ago", f"time() - {started}"))


def _query(query: Query) -> str:
    return f"{query.about}:\n\n```promql\n{query.expression}\n```"


def _mitigation(alert: ResolvedAlert) -> str:
    steps = [_DONE[alert.given.action], *alert.given.mitigation]
    if alert.given.escalate_after is not None:
        steps.append(f"Not acknowledged within {format_duration(alert.given.escalate_after)}, it is escalated.")
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _source(policy: Policy, alert: ResolvedAlert) -> str:
    links = [source.url for name, source in policy.sources.items() if name in alert.given.source and source.url]
    return "\n".join([alerting.origin(policy, alert.given), *(f"<{link}>" for link in links)])
