"""The runbook page of an alert: meaning, impact, diagnosis with queries ready to paste, mitigation, source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel, DeploymentMetric
from deploywatch.quantity import format_duration
from deploywatch.rules import links, promql
from deploywatch.rules.conditions import deployments, thresholds
from deploywatch.rules.language.selectors import Selector, read_selector
from deploywatch.rules.outputs import alerting
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAlert
from deploywatch.rules.series import Durations, Requests
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
    """Queries about one service: that of the alert, once its names stand in place of the example's."""
    where = promql.sample_labels(policy)
    only = policy.model_copy(update={"selectors": _only(policy, where)})
    if any(len(selector.values) != 1 for selector in policy.selectors.values()) or not policy.selectors:
        yield (
            f"The queries and commands are about `{where[SERVICE]}` in `{where[ENVIRONMENT]}`: put the service and the "
            "environment of the alert in their place."
        )
    yield from _dashboards(policy, where)
    yield _query(Query("The alert's own condition", _of_one(policy, alert.expression, where)))
    asked: dict[str, Query] = {}
    for term in alert.terms:
        asked |= {query.expression: query for query in term.signal.diagnosis(only)}
    for query in (*asked.values(), *_breakdown(alert.terms[0].signal.seen(only), alert)):
        yield _query(Query(query.about, _of_one(policy, query.expression, where)))
    started = deployments.held(only, DeploymentMetric.STARTED)
    yield _query(Query("What was deployed, and how many seconds ago", f"time() - {started}"))
    yield _commands(where)


def _only(policy: Policy, where: Mapping[str, str]) -> dict[str, Selector]:
    """The policy's selectors, of which service and environment are one value each."""
    return policy.selectors | {label: read_selector(text) for label, text in where.items()}


def _of_one(policy: Policy, expression: str, where: Mapping[str, str]) -> str:
    """Recorded series of one service in place of those of all."""
    every = f'{{{AlertLabel.POLICY}="{policy.policy}"'
    own = "".join(f',{label}="{text}"' for label, text in where.items())
    return expression.replace(every, every + own)


def _breakdown(policy: Policy, alert: ResolvedAlert) -> tuple[Query, ...]:
    """Which instance, version and endpoint fail, where the alert is about requests."""
    requests = policy.series.find(Requests)
    if requests is None or not any({Requests, Durations}.intersection(term.signal.needs) for term in alert.terms):
        return ()
    failed = promql.raw(policy, requests, matchers=[(requests.status, "=~", requests.errors)])
    every, window = promql.raw(policy, requests), promql.duration(policy.window)
    by = {"instance": "instance", "version": requests.version, "endpoint": requests.endpoint}
    return tuple(
        Query(
            f"Failing requests as a share, by {name}",
            f"sum by ({label}) (rate({failed}[{window}]))\n/\nsum by ({label}) (rate({every}[{window}]))",
        )
        for name, label in ((name, promql.name(label)) for name, label in by.items())
    )


def _dashboards(policy: Policy, where: Mapping[str, str]) -> Iterator[str]:
    """Links to the service's dashboard, and to that of its deployments."""
    service = links.dashboard_url(policy, where)
    deployment = links.dashboard_url(policy, where, uid=links.deployment_uid(policy))
    if service is not None and deployment is not None:
        yield f"Dashboards: [the service]({service}), [its deployments]({deployment})."


def _commands(where: Mapping[str, str]) -> str:
    chosen = f"--service {where[SERVICE]} --environment {where[ENVIRONMENT]}"
    return (
        "At the command line:\n\n```console\n"
        f"$ deploywatch incidents list --open {chosen}\n"
        "$ deploywatch incidents show NUMBER\n"
        "$ deploywatch incidents acknowledge NUMBER\n"
        f"$ deploywatch deployments list {chosen}\n"
        "$ deploywatch incidents rollback NUMBER\n```"
    )


def _query(query: Query) -> str:
    return f"{query.about}:\n\n```promql\n{query.expression}\n```"


def _mitigation(alert: ResolvedAlert) -> str:
    steps = [_DONE[alert.given.action], *alert.given.mitigation]
    if alert.given.escalate_after is not None:
        steps.append(f"Not acknowledged within {format_duration(alert.given.escalate_after)}, it is escalated.")
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _source(policy: Policy, alert: ResolvedAlert) -> str:
    urls = [source.url for name, source in policy.sources.items() if name in alert.given.source and source.url]
    return "\n".join([alerting.origin(policy, alert.given), *(f"<{url}>" for url in urls)])
