"""A policy's services: every signal with its limits; alerts link here."""

from __future__ import annotations

from datetime import timedelta

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel, DeploymentMetric, IncidentMetric
from deploywatch.grafana import health_panels, signals
from deploywatch.grafana.frame import Dashboard
from deploywatch.grafana.panels import Panel, Row
from deploywatch.grafana.queries import RATE, WHERE, Query, legend, once, shown
from deploywatch.grafana.visualizations import BAD, PER_SECOND, UNITS, Lines, Number
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.links import dashboard_uid
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.series.requests import Requests


def dashboard(policy: ResolvedPolicy) -> Dashboard:
    """The dashboard that the policy's alerts link to."""
    used = signals.measured(policy)
    return Dashboard(
        uid=dashboard_uid(policy.given),
        title=f"{policy.given.policy} / service",
        about=policy.given.about,
        rows=(
            Row("Now", _now(policy)),
            Row("Health", health_panels.panels(policy, {**health_panels.HEALTH, **health_panels.IMPACT})),
            Row("Signals", tuple(signals.panel(policy, signal) for signal in used if not signals.is_state(signal))),
            Row("States", tuple(signals.panel(policy, signal) for signal in used if signals.is_state(signal))),
            Row("Breakdown", _breakdown(policy)),
            Row("Compared", tuple(signals.panel(policy, signal) for signal in signals.compared(policy))),
        ),
        places=places(policy),
        span=span(policy),
        refresh=refresh(policy),
    )


def _breakdown(policy: ResolvedPolicy) -> tuple[Panel, ...]:
    """Which status, endpoint and version it is: a ratio of the whole service hides a half-failing endpoint."""
    requests = policy.given.series.find(Requests)
    if requests is None:
        return ()
    failed = (requests.status, "=~", requests.errors)
    scraped = promql.duration(max(policy.given.interval, timedelta(seconds=15)))

    def rate(label: str, *matchers: promql.Matcher) -> str:
        own = tuple((theirs, "=~", f"${ours}") for ours, theirs in requests.labels.borne.items())
        raw = promql.raw(policy.given, requests, matchers=[*own, *matchers])
        return promql.grouped("sum", requests, f"rate({raw}[{RATE}])", {label: label})

    def share(label: str) -> str:
        every = rate(label)
        # `or … * 0`: who never failed has no series of failures, and 0 is meant.
        return f"topk(10, ({rate(label, failed)} or {every} * 0) / ({every} > 0))"

    def legend_by(label: str) -> str:
        return legend((SERVICE, ENVIRONMENT, label))

    return (
        Panel(
            "Requests by status",
            "Requests a second, by their outcome.",
            (Query(rate(requests.status), legend_by(requests.status), scraped=scraped),),
            Lines(PER_SECOND, stacked=True),
            width=8,
        ),
        *(
            Panel(
                f"Failing by {name}",
                f"The share of requests that fail, of the ten worst, by the label `{label}`.",
                (Query(share(label), legend_by(label), scraped=scraped),),
                Lines(UNITS[Unit.RATIO]),
                width=8,
            )
            for name, label in (("endpoint", requests.endpoint), ("version", requests.version))
        ),
    )


def places(policy: ResolvedPolicy) -> str:
    """What the policy has recorded of anything."""
    records = "|".join(dict.fromkeys(signal.value(policy.given) for signal in signals.measured(policy)))
    return f'{{__name__=~"{records}",{AlertLabel.POLICY}="{policy.given.policy}"}}'


# A policy of a demo looks back over minutes, one of production over hours.
def span(policy: ResolvedPolicy) -> timedelta:
    """What is shown at first: twelve windows, or 900 evaluations where that is more."""
    return max(12 * policy.given.window, 900 * policy.given.interval)


def refresh(policy: ResolvedPolicy) -> str:
    """How often; a policy that looks at seconds is looked at for seconds."""
    return "10s" if policy.given.window < timedelta(minutes=1) else "1m"


def firing(policy: ResolvedPolicy) -> str:
    """The policy's alerts that fire, of what the reader has chosen."""
    return shown("ALERTS", ("alertstate", "=", "firing"), (AlertLabel.POLICY, "=", policy.given.policy))


def _now(policy: ResolvedPolicy) -> tuple[Panel, ...]:
    bad = Number(UNITS[Unit.COUNT], ((1, BAD),), decimals=0, none="0")
    version = f"max by ({WHERE}, version) ({shown(DeploymentMetric.INFO)})"
    return (
        Panel(
            "Open incidents",
            "Incidents of these services that are not resolved, as the receiver counts them.",
            (Query(f"sum({once(IncidentMetric.OPEN, f'{WHERE}, severity')})", "open"),),
            bad,
            width=4,
            height=5,
        ),
        Panel(
            "Alerts firing",
            "Alerts of this policy that fire.",
            (Query(f"count({firing(policy)})", "firing"),),
            bad,
            width=4,
            height=5,
        ),
        Panel(
            "Version",
            "The version that each service was last deployed with.",
            (Query(version, f"{{{{{SERVICE}}}}} {{{{version}}}} in {{{{{ENVIRONMENT}}}}}", now=True),),
            Number("none", decimals=0, names=True, none="never deployed"),
            width=8,
            height=5,
        ),
        Panel(
            "Alerts by name",
            "Which alerts of this policy fire, over time.",
            (Query(f"count by (alertname, severity) ({firing(policy)})", "{{alertname}} ({{severity}})"),),
            Lines(UNITS[Unit.COUNT], stacked=True),
            width=8,
            height=5,
        ),
    )


def windows(policy: ResolvedPolicy, *counts: int) -> tuple[str, ...]:
    """So many windows of the policy each, as PromQL durations."""
    return tuple(promql.duration(count * policy.given.window) for count in counts)
