"""A deployment: each signal before and since, what speaks for and against it, and how deployments went so far."""

from __future__ import annotations

from typing import Final

from deploywatch.conventions import DeploymentMetric, IncidentMetric
from deploywatch.grafana import health_panels, signals
from deploywatch.grafana.frame import Dashboard, choice, spans
from deploywatch.grafana.panels import Panel, Row
from deploywatch.grafana.queries import SHOWN, WHERE, Query, legend, once, shown
from deploywatch.grafana.service import firing, places, refresh, span, windows
from deploywatch.grafana.visualizations import BAD, EARLIER, UNITS, Lines, Number, States
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.links import deployment_uid
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.series.requests import Requests
from deploywatch.rules.signals.signal import Signal

_COUNT, _RATIO, _SECONDS = UNITS[Unit.COUNT], UNITS[Unit.RATIO], UNITS[Unit.SECONDS]

# `@` pins the window to a moment, whatever time the dashboard shows.
BEFORE, SINCE = "[$span] @ $deployment", "[$span] @ end()"
"""The span that ends with the chosen deployment's start, and the one that ends with the shown time."""

_ENDED = ("status", "=~", "succeeded|failed|rolled_back")
_WENT_WRONG = ("status", "=~", "failed|rolled_back")


def uid(policy: ResolvedPolicy) -> str:
    """The dashboard's stable identity; Grafana takes 40 characters, and a policy's name may have 27."""
    return deployment_uid(policy.given)


def dashboard(policy: ResolvedPolicy) -> Dashboard:
    """The dashboard that compares with the time before a deployment."""
    return Dashboard(
        uid=uid(policy),
        title=f"{policy.given.policy} / deployment",
        about=f"{policy.given.about} Each signal before and since a deployment, and how deployments went so far.",
        rows=(
            Row("The deployment", _verdict(policy)),
            Row(
                "Before and since",
                tuple(panel for signal in signals.measured(policy) for panel in _compared(policy, signal)),
            ),
            Row("As the policy compares", tuple(signals.panel(policy, signal) for signal in signals.compared(policy))),
            Row("All deployments", health_panels.panels(policy, health_panels.DELIVERY) or _dora()),
        ),
        places=places(policy),
        more_variables=(_deployment(), spans("span", "Compare over", windows(policy, 3, 1, 12, 288))),
        span=span(policy),
        refresh=refresh(policy),
    )


def _deployment() -> dict[str, object]:
    """The ledger's deployments, the newest first; the value is when it started, which PromQL takes after `@`."""
    # Grafana takes a choice's value from the sample and its text from a label, and both by one expression.
    named = f'label_join({shown(DeploymentMetric.STARTED)}, "deployment", " ", "service", "version")'
    query = f"query_result(sort_desc(max by (deployment) ({named})))"
    return choice("deployment", "Deployment", query, regex='/deployment="(?<text>[^"]+)"} (?<value>[0-9.]+) /', sort=0)


def _verdict(policy: ResolvedPolicy) -> tuple[Panel, ...]:
    requests = policy.given.series.find(Requests)
    return (
        _status(),
        *(() if requests is None else (_counted(policy, requests),)),
        Panel(
            "Alerts firing",
            "Alerts of the policy that fire; none since the deployment speaks for it.",
            (Query(f"count by (alertname, severity) ({firing(policy)})", "{{alertname}} ({{severity}})"),),
            Lines(_COUNT, stacked=True),
            width=8,
            height=6,
        ),
    )


def _status() -> Panel:
    started = f"max by ({WHERE}, version) ({shown(DeploymentMetric.STARTED)} == $deployment)"
    standing = (
        f"max by ({WHERE}, version, status) ({shown(DeploymentMetric.STATUS)} == 1)"
        f" * on ({WHERE}, version) group_left () ({started} > bool 0)"
    )
    return Panel(
        "How it stands",
        "How the chosen deployment stands in the ledger.",
        (Query(standing, "{{service}} {{environment}} {{version}}: {{status}}"),),
        States({0: ("", "transparent"), 1: ("so", "blue")}),
        width=8,
        height=6,
    )


def _counted(policy: ResolvedPolicy, requests: Requests) -> Panel:
    """The evidence: how many requests there were, and how many of them failed. Few requests prove nothing."""
    failed = (requests.status, "=~", requests.errors)
    every = _increase(policy, requests)
    # A service that never failed has no series of failures: then it is 0 of those that there were.
    bad = f"({_increase(policy, requests, failed)} or {every} * 0)"
    queries = tuple(
        Query(f"sum({expression.replace('RANGE', span)})", f"{kind} {name}", now=True)
        for name, span in (("before", BEFORE), ("since", SINCE))
        for kind, expression in (("requests", every), ("failed", bad))
    )
    return Panel(
        "Requests counted",
        "Requests in the span before the deployment and in the last one; a verdict on few of them is worth little.",
        queries,
        Number(_COUNT, decimals=0, base="text", names=True, none="0"),
        width=8,
        height=6,
    )


def _increase(policy: ResolvedPolicy, requests: Requests, *matchers: promql.Matcher) -> str:
    own = tuple((theirs, "=~", f"${ours}") for ours, theirs in requests.labels.borne.items())
    vector = f"increase({promql.raw(policy.given, requests, matchers=[*own, *matchers])}RANGE)"
    return promql.grouped("sum", requests, vector)


def _compared(policy: ResolvedPolicy, signal: Signal) -> tuple[Panel, ...]:
    series, title = signals.recorded(policy, signal), signals.title_of(signal)
    before, since = (f"avg_over_time({series}{when})" for when in (BEFORE, SINCE))
    before_legend = signals.legend_of(signal, " before")
    over_time = Panel(
        title,
        f"{signal.about} Dashed: its mean over the span before the chosen deployment.",
        (Query(series, signals.legend_of(signal)), Query(before, before_legend, dashed=EARLIER)),
        Lines(signals.unit_of(signal)),
        width=16,
    )
    numbers = Panel(
        f"{title}: before and since",
        "The signal's mean over the span before the chosen deployment, and over the last one.",
        (Query(before, before_legend, now=True), Query(since, signals.legend_of(signal, " since"), now=True)),
        Number(signals.unit_of(signal), base="text", names=True),
        width=8,
    )
    return over_time, numbers


_SMALL: Final = {"width": 6, "height": 6}


def _recovery() -> Panel:
    incidents = promql.selector(IncidentMetric.OPEN, SHOWN)
    # Counted in looks of 15 s; an incident that becomes more severe ends in one severity, and counts once more.
    open_seconds = f"15 * sum_over_time((sum by ({WHERE}) ({incidents}))[$__range:15s])"
    resolved = f"(sum by ({WHERE}) (resets({incidents}[$__range])) > 0)"
    return Panel(
        "Time to recover",
        "How long incidents stayed open in the shown time, divided by how many were resolved in it.",
        (Query(f"{open_seconds}\n/\n{resolved}", legend(_KEYS), now=True),),
        Number(_SECONDS, names=True, none="none resolved"),
        **_SMALL,
    )


def _dora() -> tuple[Panel, ...]:
    status = DeploymentMetric.STATUS
    return (
        Panel(
            "Deployments in a week",
            "Deployments that started in the last seven days, by service; the ledger shows the newest ten versions.",
            (
                Query(
                    f"count by ({WHERE}) ({once(DeploymentMetric.STARTED, f'{WHERE}, version')} > time() - 604800)",
                    legend(_KEYS),
                ),
            ),
            Number(_COUNT, decimals=0, names=True, none="0"),
            **_SMALL,
        ),
        Panel(
            "Deployments that went wrong",
            "Deployments that failed or were rolled back, as a share of those that ended.",
            (
                Query(
                    f"sum by ({WHERE}) ({shown(status, _WENT_WRONG)})\n/\n"
                    f"(sum by ({WHERE}) ({shown(status, _ENDED)}) > 0)",
                    legend(_KEYS),
                ),
            ),
            Number(_RATIO, ((0.15, BAD),), names=True),
            **_SMALL,
        ),
        Panel(
            "Time a deployment takes",
            "From a deployment's start to its end, as the ledger was told; the mean of those that ended.",
            (
                Query(
                    f"avg by ({WHERE}) ({shown(DeploymentMetric.FINISHED)} - {shown(DeploymentMetric.STARTED)})",
                    legend(_KEYS),
                ),
            ),
            Number(_SECONDS, names=True),
            **_SMALL,
        ),
        _recovery(),
    )


_KEYS = ("service", "environment")
