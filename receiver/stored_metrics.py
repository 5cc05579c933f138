"""What metrics read from the store: the ledger, what is open, the queue, deliveries and events."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Connection, func, select

from deploywatch.conventions import (
    ENVIRONMENT,
    SERVICE,
    SEVERITIES,
    DeploymentMetric,
    IncidentMetric,
    ReceiverMetric,
)
from deploywatch.receiver.deployments import assessments, ledger
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.events import outbox
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.lifecycle.durations import measures
from deploywatch.receiver.notify import queueing
from deploywatch.receiver.notify.queueing import KIND
from deploywatch.receiver.store import counters
from deploywatch.receiver.store.schema import jobs
from deploywatch.verdict.values import POSSIBLE

# Each version is a series; the newest are what a dashboard shows.
_VERSIONS_SHOWN = 10
_TARGET = [SERVICE, ENVIRONMENT, "version"]


class Snapshot:
    """A collector over what was read from the store a moment ago."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """Give the families to the exposition."""
        yield from self._families


def snapshot(connection: Connection, now: datetime) -> Snapshot:
    """Read the ledger, the counters, what is open, and the queue; how many incidents are over makes no difference."""
    unresolved = store.unresolved(connection)
    return Snapshot(
        [
            *_deployments(connection),
            *_incidents(connection, unresolved),
            *measures(connection, unresolved),
            _actions(connection),
            _verdicts(connection),
            _assessments(connection),
            *_queue(connection, now),
            *_deliveries(connection, now),
            *_events(connection, now),
        ]
    )


def _deployments(connection: Connection) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        DeploymentMetric.INFO, "The version that each service was last deployed with.", labels=_TARGET
    )
    started = GaugeMetricFamily(DeploymentMetric.STARTED, "When the deployment began, as Unix time.", labels=_TARGET)
    finished = GaugeMetricFamily(DeploymentMetric.FINISHED, "When the deployment ended, as Unix time.", labels=_TARGET)
    status = GaugeMetricFamily(DeploymentMetric.STATUS, "1 for how the deployment stands.", labels=[*_TARGET, "status"])
    shown: set[tuple[str, str, str]] = set()
    current: set[tuple[str, str]] = set()
    for deployment in ledger.newest_of_each(connection, _VERSIONS_SHOWN):
        where, labels = (
            (deployment.service, deployment.environment),
            [deployment.service, deployment.environment, deployment.version],
        )
        if where not in current:
            current.add(where)
            info.add_metric(labels, 1)
        if (*where, deployment.version) in shown:
            continue  # a version deployed again: its newest deployment is the one to show
        shown.add((*where, deployment.version))
        started.add_metric(labels, deployment.started_at.timestamp())
        if deployment.finished_at:
            finished.add_metric(labels, deployment.finished_at.timestamp())
        for state in Status:
            status.add_metric([*labels, state], float(deployment.status is state))
    yield from (info, started, finished, status)


def _incidents(connection: Connection, unresolved: Sequence[Incident]) -> Iterator[Metric]:
    total = CounterMetricFamily(IncidentMetric.OPENED, "Incidents that were opened.", labels=[SERVICE, ENVIRONMENT])
    family = GaugeMetricFamily(
        IncidentMetric.OPEN, "Incidents that are not resolved.", labels=[SERVICE, ENVIRONMENT, "severity"]
    )
    open_now = Tally((incident.service, incident.environment, incident.severity) for incident in unresolved)
    for (service, environment), count in counters.read(connection, IncidentMetric.OPENED).items():
        total.add_metric([service, environment], count)
        for severity in SEVERITIES:
            family.add_metric([service, environment, severity], open_now[service, environment, severity])
    yield from (total, family)


def _actions(connection: Connection) -> Metric:
    family = CounterMetricFamily(
        IncidentMetric.ACTIONS, "Actions by how they ended, or why they did not begin.", labels=["action", "outcome"]
    )
    for labels, count in counters.read(connection, IncidentMetric.ACTIONS).items():
        family.add_metric(labels, count)
    return family


def _verdicts(connection: Connection) -> Metric:
    about = "Looks at stages of deployments by their verdict, and its most serious reason."
    family = CounterMetricFamily(ReceiverMetric.VERDICTS, about, labels=["answer", "reason"])
    counted = counters.read(connection, ReceiverMetric.VERDICTS)
    for answer, reason in {*POSSIBLE, *counted}:
        family.add_metric([answer, reason], counted.get((answer, reason), 0))
    return family


def _assessments(connection: Connection) -> Metric:
    about = "Assessments of deployments by the health that they found, and why it is not known."
    family = CounterMetricFamily(ReceiverMetric.ASSESSMENTS, about, labels=["status", "reason"])
    counted = counters.read(connection, ReceiverMetric.ASSESSMENTS)
    for status, reason in sorted({*assessments.COUNTED, *counted}):
        family.add_metric([status, reason], counted.get((status, reason), 0))
    return family


def _queue(connection: Connection, now: datetime) -> Iterator[Metric]:
    depth = GaugeMetricFamily(ReceiverMetric.JOBS_QUEUED, "Jobs that wait or run, by kind.", labels=["kind", "state"])
    late = GaugeMetricFamily(
        ReceiverMetric.JOBS_LATE, "How long the job that waits longest has been due, by kind.", labels=["kind"]
    )
    query = (
        select(jobs.c.kind, jobs.c.state, func.count(), func.min(jobs.c.run_at))
        .where(jobs.c.state.in_((State.READY, State.RUNNING)))
        .group_by(jobs.c.kind, jobs.c.state)
    )
    for kind, state, count, since in connection.execute(query):
        depth.add_metric([kind, state], count)
        if state == State.READY:
            late.add_metric([kind], _age(now, since))
    yield from (depth, late)


def _deliveries(connection: Connection, now: datetime) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        ReceiverMetric.DELIVERIES_WAITING, "Messages that a channel has not taken yet.", labels=["channel"]
    )
    oldest = GaugeMetricFamily(
        ReceiverMetric.DELIVERIES_OLDEST,
        "How long the oldest of them has waited by now.",
        labels=["channel"],
    )
    query = (
        select(jobs.c.queue, func.count(), func.min(jobs.c.created_at))
        .where(jobs.c.state.in_((State.READY, State.RUNNING)), jobs.c.kind == KIND)
        .group_by(jobs.c.queue)
    )
    for queue, count, since in connection.execute(query):
        channel = queueing.channel_of(queue)
        waiting.add_metric([channel], count)
        oldest.add_metric([channel], _age(now, since))
    yield from (waiting, oldest)


def _events(connection: Connection, now: datetime) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(ReceiverMetric.EVENTS_WAITING, "Events that a sink has not taken yet.", labels=["sink"])
    about = "How long the oldest of them has waited by now."
    oldest = GaugeMetricFamily(ReceiverMetric.EVENTS_OLDEST, about, labels=["sink"])
    for sink, count, since in outbox.waiting(connection):
        waiting.add_metric([sink], count)
        oldest.add_metric([sink], _age(now, since))
    yield from (waiting, oldest)


def _age(now: datetime, since: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
