"""What the receiver shows of itself and of the ledger: counters as it works, the rest read from the store."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Connection, func, select

from deploywatch import __version__
from deploywatch.conventions import ENVIRONMENT, SERVICE, SEVERITIES, DeploymentMetric, IncidentMetric
from receiver.deployments import ledger
from receiver.incidents.rules import Effect, Reason
from receiver.jobs import Job, Outcome, State
from receiver.people.agenda import REMINDERS
from receiver.people.measures import measures
from receiver.people.response import Verdict
from receiver.store.schema import incidents, jobs

_VERSIONS_SHOWN = 10
_TARGET = [SERVICE, ENVIRONMENT, "version"]


class Counters:
    """What is counted while the receiver works."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.webhooks = Counter(
            "deploywatch_webhooks", "Webhooks by how they were answered.", ["outcome"], registry=registry
        )
        self.alerts = Counter(
            "deploywatch_alerts",
            "Alerts by what was decided about them, and why.",
            ["effect", "reason"],
            registry=registry,
        )
        self.jobs = Counter(
            "deploywatch_jobs", "Runs of jobs by how they ended.", ["kind", "outcome"], registry=registry
        )
        self.reminders = Counter(
            "deploywatch_reminders",
            "Reminders and escalation steps by what became of them when they were due.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "deploywatch_webhook_commit_seconds",
            "From a webhook's arrival to its commit.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )
        build = Gauge("deploywatch_build_info", "The version of deploywatch.", ["version", "part"], registry=registry)
        build.labels(__version__, "receiver").set(1)
        for outcome in ("accepted", "rejected", "unavailable", "broken"):
            self.webhooks.labels(outcome)

    def answered(self, outcome: str) -> None:
        """Count one webhook by its answer: accepted, rejected, unavailable, or broken by a fault of ours."""
        self.webhooks.labels(outcome).inc()

    def decided(self, reasons: Tally[tuple[Effect, Reason]]) -> None:
        """Count the decisions of one commit."""
        for (effect, reason), count in reasons.items():
            self.alerts.labels(effect, reason).inc(count)

    def finished(self, job: Job, outcome: Outcome) -> None:
        """Count one run of a job; one that will be tried again counts as a retry."""
        self.jobs.labels(job.kind, "retry" if outcome.state is State.READY else outcome.state).inc()
        if job.kind in REMINDERS:
            self.reminders.labels(job.kind, outcome.note if outcome.note in set(Verdict) else "later").inc()


class Snapshot:
    """A collector over what was read from the store a moment ago."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """Give the families to the exposition."""
        yield from self._families


def snapshot(connection: Connection) -> Snapshot:
    """Read the ledger, the incidents and the queue."""
    return Snapshot([*_deployments(connection), *_incidents(connection), *measures(connection), _queue(connection)])


def _deployments(connection: Connection) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        DeploymentMetric.INFO, "The version that each service was last deployed with.", labels=_TARGET
    )
    started = GaugeMetricFamily(DeploymentMetric.STARTED, "When the deployment began, as Unix time.", labels=_TARGET)
    finished = GaugeMetricFamily(DeploymentMetric.FINISHED, "When the deployment ended, as Unix time.", labels=_TARGET)
    status = GaugeMetricFamily(DeploymentMetric.STATUS, "1 for how the deployment stands.", labels=[*_TARGET, "status"])
    shown: set[tuple[str, str, str]] = set()
    current: set[tuple[str, str]] = set()
    for one in ledger.newest_of_each(connection, _VERSIONS_SHOWN):
        where, labels = (one.service, one.environment), [one.service, one.environment, one.version]
        if where not in current:
            current.add(where)
            info.add_metric(labels, 1)
        if (*where, one.version) in shown:
            continue  # a version deployed again: its newest deployment is the one to show
        shown.add((*where, one.version))
        started.add_metric(labels, one.started_at.timestamp())
        if one.finished_at:
            finished.add_metric(labels, one.finished_at.timestamp())
        for state in ledger.Status:
            status.add_metric([*labels, state], float(one.status is state))
    yield from (info, started, finished, status)


def _incidents(connection: Connection) -> Iterator[Metric]:
    total = CounterMetricFamily(IncidentMetric.OPENED, "Incidents that were opened.", labels=[SERVICE, ENVIRONMENT])
    family = GaugeMetricFamily(
        IncidentMetric.OPEN, "Incidents that are not resolved.", labels=[SERVICE, ENVIRONMENT, "severity"]
    )
    query = select(incidents.c.service, incidents.c.environment, incidents.c.severity, incidents.c.open_key)
    where = (incidents.c.service, incidents.c.environment)
    targets = connection.execute(select(*where, func.count()).group_by(*where)).all()
    open_now = Tally(
        (row.service, row.environment, row.severity)
        for row in connection.execute(query.where(incidents.c.open_key.is_not(None)))
    )
    for service, environment, count in targets:
        total.add_metric([service, environment], count)
        for severity in SEVERITIES:
            family.add_metric([service, environment, severity], open_now[service, environment, severity])
    yield from (total, family)


def _queue(connection: Connection) -> Metric:
    family = GaugeMetricFamily("deploywatch_jobs_queued", "Jobs that wait or run, by kind.", labels=["kind", "state"])
    query = (
        select(jobs.c.kind, jobs.c.state, func.count())
        .where(jobs.c.state.in_((State.READY, State.RUNNING)))
        .group_by(jobs.c.kind, jobs.c.state)
    )
    for kind, state, count in connection.execute(query):
        family.add_metric([kind, state], count)
    return family
