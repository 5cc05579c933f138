"""All services at a glance: which are healthy, what fires, what is open, what was deployed."""

from __future__ import annotations

from deploywatch.conventions import ENVIRONMENT, PROBE, SERVICE, AlertLabel, DeploymentMetric, IncidentMetric
from deploywatch.conventions import ProbeMetric as Probe
from deploywatch.grafana.frame import Dashboard
from deploywatch.grafana.panels import Panel, Row
from deploywatch.grafana.queries import WHERE, Query, legend, once, shown
from deploywatch.grafana.visualizations import BAD, DATE, UNITS, WELL, Lines, Number, States, Table
from deploywatch.quantity import Unit
from deploywatch.rules import promql

UID = "dw-overview"
PLACES = f'{{__name__=~"{Probe.SUCCESS}|{DeploymentMetric.INFO}|{IncidentMetric.OPEN}"}}'

_SCORE = f"{promql.level()}:health:score"
_COUNT = UNITS[Unit.COUNT]
_FIRING = shown("ALERTS", ("alertstate", "=", "firing"), (AlertLabel.POLICY, "!=", ""))


def dashboard() -> Dashboard:
    """The dashboard of all services, whatever their policies."""
    return Dashboard(
        uid=UID,
        title="overview",
        about="All services at a glance: which are healthy, what fires, what is open, what was deployed.",
        rows=(
            Row("Now", _now()),
            Row("Health", _health()),
            Row("Alerts and incidents", _alerts()),
            Row("Deployments", _deployments()),
        ),
        places=PLACES,
    )


def _now() -> tuple[Panel, ...]:
    bad = Number(_COUNT, ((1, BAD),), decimals=0, none="0")
    plain = Number(_COUNT, decimals=0, none="0")
    day = f"{once(DeploymentMetric.STARTED, f'{WHERE}, version')} > time() - 86400"
    return (
        _small(
            "Services watched",
            "Services and environments that a probe of the exporter watches.",
            f"count(count by ({WHERE}) ({shown(Probe.SUCCESS)}))",
            plain,
        ),
        _small(
            "Probes failing",
            "Probes whose last run failed, wherever they run from.",
            # `== bool 0` and a sum: a count of what fails would have no value while nothing does.
            f"sum(min by ({WHERE}, {PROBE}) ({shown(Probe.SUCCESS)}) == bool 0)",
            bad,
        ),
        _small("Alerts firing", "Alerts of all policies that fire now.", f"count({_FIRING})", bad),
        _small(
            "Incidents open",
            "Incidents that are not resolved, as the receiver counts them.",
            f"sum({once(IncidentMetric.OPEN, f'{WHERE}, severity')})",
            bad,
        ),
        _small(
            "Deployments in 24 h",
            "Deployments that the ledger saw start in the last day; of a version deployed twice, the last.",
            f"count({day})",
            plain,
        ),
        _small(
            "Last deployment",
            "When the newest deployment of these services began.",
            f"max({shown(DeploymentMetric.STARTED)}) * 1000",
            Number("dateTimeFromNow", none="never"),
        ),
    )


def _small(title: str, about: str, expression: str, look: Number) -> Panel:
    return Panel(title, about, (Query(expression, title.lower()),), look, width=4, height=4)


def _health() -> tuple[Panel, ...]:
    return (
        Panel(
            "Health by service",
            "The health score of the policy's rules, the lowest of several policies; where no policy has one, the "
            "share of probes whose last run succeeded. A service without a line has neither.",
            (
                Query(
                    # `or on (…)`: per service, so that one with a score does not hide those without.
                    f"min by ({WHERE}) ({shown(_SCORE)})\nor on ({WHERE})\navg by ({WHERE}) ({shown(Probe.SUCCESS)})",
                    legend((SERVICE, ENVIRONMENT)),
                ),
            ),
            Lines(UNITS[Unit.RATIO]),
        ),
        Panel(
            "Probes",
            "Each probe over time: well, or failing from at least one of the places that it runs from.",
            (
                Query(
                    f"min by ({WHERE}, {PROBE}) ({shown(Probe.SUCCESS)})",
                    legend((SERVICE, ENVIRONMENT, PROBE)),
                ),
            ),
            States(WELL),
        ),
        Panel(
            "Why probes fail",
            "The reason that the last run of a probe gave, while it fails; nothing while all are well.",
            (
                Query(
                    f"max by ({WHERE}, {PROBE}, reason) ({shown(Probe.FAILURE_INFO)})",
                    legend((SERVICE, ENVIRONMENT, PROBE, "reason")),
                ),
            ),
            States({0: ("", "transparent"), 1: ("fails", BAD)}),
        ),
        Panel(
            "Slowest probes",
            "How long the last run of each probe took, for the ten that took longest.",
            (
                Query(
                    f"topk(10, max by ({WHERE}, {PROBE}) ({shown(Probe.DURATION)}))",
                    legend((SERVICE, ENVIRONMENT, PROBE)),
                ),
            ),
            Lines(UNITS[Unit.SECONDS]),
        ),
    )


def _alerts() -> tuple[Panel, ...]:
    named = ("alertname", AlertLabel.SEVERITY, SERVICE, ENVIRONMENT, AlertLabel.ACTION)
    heads = {"alertname": "Alert", "severity": "Severity", "service": "Service", "environment": "Environment"}
    return (
        Panel(
            "Firing now",
            "Alerts of all policies that fire now, and what the receiver does about each; none is good.",
            (Query(f"count by ({', '.join(named)}) ({_FIRING})", table=True),),
            Table(heads | {"action": "Action"}),
        ),
        Panel(
            "Firing over time",
            "Alerts that fire, by severity.",
            (Query(f"count by (severity) ({_FIRING})", "{{severity}}"),),
            Lines(_COUNT, stacked=True),
        ),
        _open_incidents(),
    )


def _open_incidents() -> Panel:
    opened = f"{once(IncidentMetric.OPEN, f'{WHERE}, severity')} > 0"
    return Panel(
        "Open incidents",
        "Incidents that are not resolved, by service and severity, where there are any.",
        (Query(opened, legend((SERVICE, ENVIRONMENT, "severity"))),),
        Lines(_COUNT),
    )


def _deployments() -> tuple[Panel, ...]:
    status = f"{once(DeploymentMetric.STATUS, f'{WHERE}, version, status')} == 1"
    started = f"max by ({WHERE}, version) ({shown(DeploymentMetric.STARTED)})"
    columns = {"service": "Service", "environment": "Environment", "version": "Version"}
    return (
        Panel(
            "What runs",
            "The version that each service was last deployed with, and when that began.",
            (Query(f"({started} and on ({WHERE}, version) {shown(DeploymentMetric.INFO)}) * 1000", table=True),),
            Table(columns | {"Value": "Since"}, unit=DATE),
        ),
        Panel(
            "Deployments",
            "The newest deployments of each service, how they ended, and when they began.",
            (Query(f"({status}) * on ({WHERE}, version) group_left () {started} * 1000", table=True),),
            Table(columns | {"status": "Status", "Value": "Began"}, unit=DATE),
        ),
    )
