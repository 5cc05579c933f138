"""Metrics of incidents: how many there are by state, how long they wait for somebody, and how long they last."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import Connection

from deploywatch.conventions import SEVERITIES, IncidentMetric
from deploywatch.receiver.incidents.incident import Incident, Status
from deploywatch.receiver.store import counters

STATES = tuple(status.value for status in Status if status is not Status.RESOLVED)

# From a minute to a day: the deadlines of the sources lie on bounds, so that "in time" can be asked exactly.
BUCKETS = ("60.0", "300.0", "900.0", "1800.0", "3600.0", "7200.0", "14400.0", "43200.0", "86400.0", "+Inf")
_BOUNDS = tuple(float(bound) for bound in BUCKETS)


def opened(connection: Connection, incident: Incident) -> None:
    """Count a new incident."""
    counters.add(connection, IncidentMetric.OPENED, incident.service, incident.environment)


def acknowledged(connection: Connection, incident: Incident) -> None:
    """Count the time to acknowledgement, in the transaction that writes the acknowledgement."""
    if incident.acknowledged_at:
        _observe(connection, IncidentMetric.ACKNOWLEDGE, incident, until=incident.acknowledged_at.timestamp())


def resolved(connection: Connection, incident: Incident) -> None:
    """Count the time to resolution, in the transaction that writes it."""
    if incident.resolved_at:
        _observe(connection, IncidentMetric.RESOLVE, incident, until=incident.resolved_at.timestamp())


def measures(connection: Connection, unresolved: Iterable[Incident]) -> Iterator[Metric]:
    """Every family; `unresolved` are the incidents that are not over."""
    yield _states(unresolved)
    about = "From an incident's opening until"
    yield _times(connection, IncidentMetric.ACKNOWLEDGE, f"{about} somebody acknowledged it.")
    yield _times(connection, IncidentMetric.RESOLVE, f"{about} its end.")


def _observe(connection: Connection, name: str, incident: Incident, *, until: float) -> None:
    seconds = max(0.0, until - incident.opened_at.timestamp())  # a clock that was set back gives no negative time
    counters.add(connection, name, incident.severity, BUCKETS[bisect_left(_BOUNDS, seconds)])
    counters.add(connection, f"{name}_sum", incident.severity, by=seconds)


def _states(unresolved: Iterable[Incident]) -> Metric:
    family = GaugeMetricFamily(IncidentMetric.STATES, "Incidents that are not resolved.", labels=["state", "severity"])
    counts = Counter((incident.status.value, incident.severity) for incident in unresolved)
    for state in STATES:
        for severity in SEVERITIES:
            family.add_metric([state, severity], counts[state, severity])
    return family


def _times(connection: Connection, name: str, about: str) -> Metric:
    family = HistogramMetricFamily(name, about, labels=["severity"])
    counts, sums = counters.read(connection, name), counters.read(connection, f"{name}_sum")
    for severity in SEVERITIES:
        below = accumulate(counts.get((severity, bound), 0.0) for bound in BUCKETS)
        family.add_metric([severity], list(zip(BUCKETS, below, strict=True)), sums.get((severity,), 0.0))
    return family
