"""The dead man's switch: an alert that always fires, and an incident when it has gone silent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import format_duration
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents import alerts
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.settings.upstream import Watchdog

SILENT = "WatchdogSilent"


def verdict(connection: Connection, settings: Watchdog, since: datetime, now: datetime) -> Delivery | None:
    """A delivery that opens or ends the incident, or None when nothing has changed.

    `since` is when this receiver began to listen: before that it could not hear.
    """
    heard = alerts.last_update(connection, settings.alert)
    silent = now - max(filter(None, (heard, since))) > settings.within
    open_now = next((alert for alert in alerts.firing(connection) if alert.name == SILENT), None)
    if silent and open_now is None:
        return Delivery(now, b"the watchdog is silent", (_alert(settings, heard, now),))
    if not silent and open_now is not None and heard is not None:
        over = Alert(open_now.fingerprint, False, open_now.starts_at, now, open_now.labels, open_now.annotations)
        return Delivery(now, b"the watchdog is heard again", (over,))
    return None


def _alert(settings: Watchdog, heard: datetime | None, now: datetime) -> Alert:
    last = f"last heard {heard:%Y-%m-%d %H:%M:%S} UTC" if heard else "never heard"
    return Alert(
        fingerprint=f"watchdog-{settings.alert}"[:100],
        firing=True,
        starts_at=now,
        ends_at=None,
        labels={
            "alertname": SILENT,
            AlertLabel.SERVICE: settings.service,
            AlertLabel.ENVIRONMENT: settings.environment,
            AlertLabel.SEVERITY: "critical",
            AlertLabel.INCIDENT_TYPE: "monitoring_failure",
            AlertLabel.ACTION: "escalate",
        },
        annotations={
            AlertAnnotation.SUMMARY: f"{settings.alert} is silent: alerts may not be arriving",
            AlertAnnotation.DESCRIPTION: f"Expected at least every {format_duration(settings.within)}; {last}.",
        },
    )
