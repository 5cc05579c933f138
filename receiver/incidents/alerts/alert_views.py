"""An incident's alerts as templates see them, with the worst that fires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, select

from deploywatch.conventions import SEVERITIES, AlertAnnotation
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.alerts.alert_store import SINCE, alert_of_row
from deploywatch.receiver.store.engine import unit_of_work
from deploywatch.receiver.store.schema import alerts
from deploywatch.receiver.story import AlertView

_ALERTS_OF = select(alerts).where(alerts.c.incident_id == bindparam("incident")).order_by(SINCE, alerts.c.fingerprint)


def views(connection: Connection, incident_id: int) -> tuple[AlertView, ...]:
    """The incident's alerts as templates see them, in the order in which they began."""
    return tuple(view(alert, severity) for alert, severity in _of(connection, incident_id))


def views_and_leading(connection: Connection, incident_id: int) -> tuple[tuple[AlertView, ...], Alert | None]:
    """What `views` and `leading` say, from one read."""
    known = _of(connection, incident_id)
    firing = [
        # A severity that nobody here knows counts as the worst (an unknown value takes the dangerous meaning).
        (SEVERITIES.index(severity) if severity in SEVERITIES else 0, alert)
        for alert, severity in known
        if alert.firing
    ]
    worst = min(firing, key=lambda ranked: (ranked[0], ranked[1].since, ranked[1].fingerprint), default=None)
    return tuple(view(alert, severity) for alert, severity in known), worst[1] if worst else None


def firing_with_severity(connection: Connection, incident_id: int) -> list[tuple[Alert, str]]:
    """The incident's alerts that fire with their severities, in the order in which they began."""
    return [(alert, severity) for alert, severity in _of(connection, incident_id) if alert.firing]


def _of(connection: Connection, incident_id: int) -> list[tuple[Alert, str]]:
    """The incident's alerts with their severities, in the order in which they began."""

    def read() -> list[tuple[Alert, str]]:
        rows = connection.execute(_ALERTS_OF, {"incident": incident_id}).mappings()
        return [(alert_of_row(row), row["severity"]) for row in rows]

    return unit_of_work.remember(connection, (alerts.name,), incident_id, read)


def view(alert: Alert, severity: str) -> AlertView:
    """An alert as templates see it."""
    annotations = alert.annotations
    summary, message = first_of(annotations, [AlertAnnotation.SUMMARY]), first_of(annotations, AlertAnnotation.MESSAGES)
    return AlertView(
        name=alert.name,
        firing=alert.firing,
        severity=severity,
        summary=summary or message,
        # The message stands in for whichever of the two is missing, and is not said twice.
        description=first_of(annotations, [AlertAnnotation.DESCRIPTION]) or (message if summary else ""),
        value=annotations.get(AlertAnnotation.VALUE, ""),
        threshold=annotations.get(AlertAnnotation.THRESHOLD, ""),
        runbook_url=first_of(annotations, AlertAnnotation.RUNBOOKS),
        dashboard_url=first_of(annotations, AlertAnnotation.DASHBOARDS),
        source_url=alert.generator_url,
        starts_at=alert.since,
        ends_at=alert.ends_at,
        labels=alert.labels,
        annotations=annotations,
    )


def first_of(annotations: Mapping[str, str], names: Iterable[str]) -> str:
    """The first of these annotations that says something; an empty text where none does."""
    return next((annotations[name] for name in names if annotations.get(name, "").strip()), "")
