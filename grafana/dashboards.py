"""A policy's dashboard: its signals with their limits as lines, probes, deployments and open incidents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from deploywatch.conventions import ENVIRONMENT, SERVICE, DeploymentMetric, IncidentMetric
from grafana.panels import Line, datasource, number, placed, states, target, time_series
from rules import promql, recording
from rules.links import dashboard_uid
from rules.policy import Policy
from rules.signals import SIGNALS
from rules.signals.signal import Signal
from rules.terms import Term, terms

_SCHEMA = 39
"""The version of Grafana's dashboard model that this is written in: Grafana 11.0; later ones migrate it."""

_SHOWN = ((SERVICE, "=~", "$service"), (ENVIRONMENT, "=~", "$environment"))


def dashboard_files(policy: Policy) -> Iterator[tuple[str, str]]:
    """A stage of `rules build`: the policy's dashboard."""
    yield f"dashboards/{policy.policy}.json", json.dumps(dashboard(policy), indent=2, ensure_ascii=False) + "\n"


def dashboard(policy: Policy) -> dict[str, Any]:
    """The dashboard, as Grafana's JSON model has it."""
    return {
        "uid": dashboard_uid(policy),
        "title": f"deploywatch / {policy.policy}",
        "description": policy.about,
        "tags": ["deploywatch", "generated"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s" if policy.window.total_seconds() < 60 else "1m",
        "time": {"from": f"now-{_shown_minutes(policy)}m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables(policy)},
        "annotations": {"list": [_deployments()]},
        "panels": placed(list(_panels(policy))),
    }


def _shown_minutes(policy: Policy) -> int:
    """Twelve windows, or 900 evaluations where that is more; Grafana takes one unit after `now-`."""
    return max(12 * policy.window, 900 * policy.interval) // timedelta(minutes=1)


def _panels(policy: Policy) -> Iterator[dict[str, Any]]:
    yield _incidents()
    used = recording.signals(policy)
    if SIGNALS["health"].name in used:
        yield _probes(policy)
    for name, (signal, _) in used.items():
        if name != SIGNALS["health"].name:
            yield _signal(policy, signal)


def _incidents() -> dict[str, Any]:
    expression = f"sum({promql.selector(IncidentMetric.OPEN, _SHOWN)})"
    return number(
        title="Open incidents",
        description="Incidents of these services that are not resolved, as the receiver counts them.",
        queries=[target(expression, "open")],
        bad_from=1,
    )


def _probes(policy: Policy) -> dict[str, Any]:
    signal = SIGNALS["health"]
    return states(
        title="Probes",
        description=signal.about,
        queries=[target(promql.recorded(policy, signal.value(policy), _SHOWN), "{{service}} {{probe}}")],
    )


def _signal(policy: Policy, signal: Signal) -> dict[str, Any]:
    legend = " ".join(f"{{{{{label}}}}}" for label in (SERVICE, *signal.labels))
    if signal.domain.whole and signal.domain.highest == 1:
        query = target(promql.recorded(policy, signal.value(policy), _SHOWN), legend)
        return states(title=signal.title.capitalize(), description=signal.about, queries=[query])
    return time_series(
        title=signal.title.capitalize(),
        description=signal.about + _told(policy, signal),
        queries=[target(promql.recorded(policy, signal.value(policy), _SHOWN), legend)],
        unit=signal.unit,
        lines=[_line(severity, one) for severity, _, one in _limits(policy, signal)],
    )


def _limits(policy: Policy, signal: Signal) -> Iterator[tuple[str, str, Term]]:
    """Severity, alert and comparison of every limit that the policy sets to the signal."""
    for alert in policy.alerts:
        for one in terms(policy, alert):
            if one.signal.name == signal.name:
                yield alert.severity, alert.alert, one


def _line(severity: str, one: Term) -> Line:
    return Line(one.comparison.quantity.value, severity, fires_above=one.comparison.operator in {">", ">="})


def _told(policy: Policy, signal: Signal) -> str:
    limits = ", ".join(
        f"{name} at {one.comparison.operator} {one.comparison.written}" for _, name, one in _limits(policy, signal)
    )
    return f" Alerts: {limits}."


def _variables(policy: Policy) -> list[dict[str, Any]]:
    first, _ = next(iter(recording.signals(policy).values()))
    series = promql.recorded(policy, first.value(policy))
    return [
        {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "hide": 0},
        *(_of_label(series, label) for label in (SERVICE, ENVIRONMENT)),
    ]


def _of_label(series: str, label: str) -> dict[str, Any]:
    return {
        "type": "query",
        "name": label,
        "label": label.capitalize(),
        "datasource": datasource(),
        "query": f"label_values({series}, {label})",
        "definition": f"label_values({series}, {label})",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "hide": 0,
    }


def _deployments() -> dict[str, Any]:
    return {
        "name": "Deployments",
        "datasource": datasource(),
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        # Grafana takes milliseconds; the value is when the deployment started, so that is where the mark stands.
        "expr": f"{promql.selector(DeploymentMetric.STARTED, _SHOWN)} * 1000",
        "useValueForTime": True,
        "step": "60s",
        "titleFormat": "{{service}} {{version}} in {{environment}}",
    }
