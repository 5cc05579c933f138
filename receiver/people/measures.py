"""How people do, as metrics read from the store: incidents by state, and how long they wait and last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import Column, ColumnElement, Connection, Float, case, cast, extract, func, select

from deploywatch.conventions import SEVERITIES
from receiver.incidents import book
from receiver.incidents.book import Status
from receiver.store.schema import incidents

STATES = tuple(status.value for status in Status if status is not Status.RESOLVED)

# From a minute to a day: the deadlines of the sources lie on bounds, so that "in time" can be asked exactly.
BUCKETS = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0)


def measures(connection: Connection) -> Iterator[Metric]:
    """Every family."""
    yield _states(connection)
    about = "From an incident's opening until"
    acknowledged = f"{about} somebody acknowledged it."
    yield _times(connection, "deploywatch_incident_acknowledge_seconds", acknowledged, incidents.c.acknowledged_at)
    yield _times(connection, "deploywatch_incident_resolve_seconds", f"{about} its end.", incidents.c.resolved_at)


def _states(connection: Connection) -> Metric:
    family = GaugeMetricFamily(
        "deploywatch_incidents", "Incidents that are not resolved.", labels=["state", "severity"]
    )
    found = Counter((one.status.value, one.severity) for one in book.unresolved(connection))
    for state in STATES:
        for severity in SEVERITIES:
            family.add_metric([state, severity], found[state, severity])
    return family


def _times(connection: Connection, name: str, about: str, ended: Column[Any]) -> Metric:
    family = HistogramMetricFamily(name, about, labels=["severity"])
    seconds = _seconds(connection, ended)
    within = [func.sum(case((seconds <= bound, 1), else_=0)) for bound in BUCKETS]
    query = select(incidents.c.severity, func.count(), func.sum(seconds), *within)
    rows = connection.execute(query.where(ended.is_not(None)).group_by(incidents.c.severity)).all()
    known = {row[0]: row for row in rows}
    for severity in SEVERITIES:
        _, count, total, *below = known.get(severity, (severity, 0, 0.0, *(0 for _ in BUCKETS)))
        buckets = [(str(bound), float(found)) for bound, found in zip(BUCKETS, below, strict=True)]
        family.add_metric([severity], [*buckets, ("+Inf", float(count))], float(total))
    return family


def _seconds(connection: Connection, ended: Column[Any]) -> ColumnElement[float]:
    opened = incidents.c.opened_at
    if connection.dialect.name == "sqlite":
        # To the millisecond; a day as a fraction is not more exact.
        return func.round((func.julianday(ended) - func.julianday(opened)) * 86400.0, 3, type_=Float)
    return cast(extract("epoch", ended - opened), Float)
