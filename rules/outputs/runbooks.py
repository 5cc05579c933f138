"""The runbook page of an alert: meaning, impact, diagnosis with queries ready to paste, mitigation, source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from deploywatch.conventions import AlertLabel, DeploymentMetric
from deploywatch.quantity import format_duration
from deploywatch.rules import promql
from deploywatch.rules.conditions import deployments, thresholds
from deploywatch.rules.outputs import alerting
from deploywatch.rules.outputs import runbook_steps as steps
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAlert
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.requests import Requests, Targets
from deploywatch.rules.signals.signal import Query


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
    only, where = steps.of_one(policy)
    yield from steps.about(policy, where)
    for query in _asked(only, alert):
        yield _query(Query(query.about, _of_one(policy, query.expression, where)))
    given = alert.given
    # For what no deployment causes, such as a full disk, a page that offers a rollback would mislead at 3 a.m.
    rollback = given.action == "rollback" or given.incident_type not in steps.NO_ROLLBACK
    yield steps.commands(policy, where, given.incident_type, explained=given.alert, rollback=rollback)


def _asked(only: Policy, alert: ResolvedAlert) -> tuple[Query, ...]:
    """What to ask Prometheus, each once: the condition, what its signals know, who fails, what was deployed."""
    asked = [Query("The alert's own condition", alert.expression)]
    if alert.given.incident_type == steps.MONITORING:
        asked += _targets(only)
    for term in alert.terms:
        asked += term.signal.diagnosis(only)
    asked = [
        query for wanted in asked for query in (wanted, *_by_more(alert.terms[0].signal.seen(only), alert, wanted))
    ]
    asked += _breakdown(alert.terms[0].signal.seen(only), alert)
    started = deployments.held(only, DeploymentMetric.STARTED)
    asked.append(Query("What was deployed, and how many seconds ago", f"time() - {started}"))
    # Two signals of one condition often ask the same; the first one's words stay.
    known: dict[str, Query] = {}
    for query in asked:
        known.setdefault(query.expression, query)
    return tuple(known.values())


def _targets(only: Policy) -> tuple[Query, ...]:
    """What Prometheus scrapes of the service: what it no longer knows, it says nothing of."""
    targets = only.series.find(Targets)
    raw = promql.raw(only, targets) if targets is not None else deployments.held(only, "up")
    return (Query("Which targets Prometheus knows; 0 does not answer", raw),)


def _of_one(policy: Policy, expression: str, where: Mapping[str, str]) -> str:
    """Recorded series of one service in place of those of all."""
    every = f'{{{AlertLabel.POLICY}="{policy.policy}"'
    own = "".join(f',{label}="{text}"' for label, text in where.items())
    # The place is put in by text, as every recorded series begins with the policy's label.
    return expression.replace(every, every + own)


def _breakdown(policy: Policy, alert: ResolvedAlert) -> tuple[Query, ...]:
    """Which instance, version and endpoint fail, where the alert is about requests that there are."""
    requests = policy.series.find(Requests)
    about = any({Requests, Durations}.intersection(term.signal.needs) for term in alert.terms)
    if requests is None or not about or alert.given.incident_type == steps.MONITORING:
        return ()
    failed = promql.raw(policy, requests, matchers=[(requests.status, "=~", requests.errors)])
    every, window = promql.raw(policy, requests), promql.duration(policy.window)
    return tuple(
        Query(
            f"Failing requests as a share, by {name}",
            f"sum by ({label}) (rate({failed}[{window}]))\n/\nsum by ({label}) (rate({every}[{window}]))",
        )
        for name, label in {_INSTANCE: _INSTANCE, **_more(policy)}.items()
    )


_INSTANCE = "instance"
_BY_INSTANCE = re.compile(rf"\bby \(((?:le, )?){_INSTANCE}\)")


def _more(policy: Policy) -> dict[str, str]:
    """The labels of version, canary and endpoint, as PromQL writes them, where the policy knows requests."""
    requests = policy.series.find(Requests)
    if requests is None:
        return {}
    labels = {"version": requests.version, "endpoint": requests.endpoint}
    if requests.control is not None and requests.control.label != requests.version:
        labels = {requests.control.label: requests.control.label, **labels}
    return {name: promql.name(label) for name, label in labels.items()}


def _by_more(policy: Policy, alert: ResolvedAlert, query: Query) -> Iterator[Query]:
    """What a signal of latency says by instance, by version and by endpoint too."""
    if not query.about.endswith(f" by {_INSTANCE}") or not any(Durations in term.signal.needs for term in alert.terms):
        return
    if alert.given.incident_type == steps.MONITORING:
        return
    for name, label in _more(policy).items():
        expression = _BY_INSTANCE.sub(rf"by (\g<1>{label})", query.expression)
        yield Query(f"{query.about.removesuffix(_INSTANCE)}{name}", expression)


def _query(query: Query) -> str:
    return f"{query.about}:\n\n```promql\n{query.expression}\n```"


def _mitigation(alert: ResolvedAlert) -> str:
    given = alert.given
    listed = list(steps.mitigation(given.action, given.incident_type, given.mitigation))
    if given.escalate_after is not None:
        listed.append(f"Not acknowledged within {format_duration(given.escalate_after)}, it is escalated.")
    return "\n".join(f"{number}. {step}" for number, step in enumerate(listed, 1))


def _source(policy: Policy, alert: ResolvedAlert) -> str:
    urls = [source.url for name, source in policy.sources.items() if name in alert.given.source and source.url]
    return "\n".join([alerting.origin(policy, alert.given), *(f"<{url}>" for url in urls)])
