"""The dead man's switch: an alert that always fires, and an incident when it has gone silent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import format_duration
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.alert import source as source_named
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.incidents.alerts.liveness import Heard, heard
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.settings.upstream import Upstream, Watchdog

SILENT = "WatchdogSilent"


def verdict(connection: Connection, upstream: Upstream, since: datetime, now: datetime) -> Delivery | None:
    """A delivery that opens or ends the incident, or None when nothing has changed.

    `since` is when this receiver began to listen: before that it could not hear. Each source whose watchdog was ever
    heard is listened to by itself: that of another does not stand in for it.
    """
    settings = upstream.watchdog
    if settings is None:
        return None
    known = _listened_to(connection, upstream, settings)
    fire = {alert.fingerprint: alert for alert in alert_store.firing(connection) if alert.name == SILENT}
    changes = []
    for source, (called, last) in known.items():
        fires = fire.get(_fingerprint(settings, source))
        # Since the start at the earliest: after a night in which we were off, everything would be silent at once.
        if fires is None and now - max(last.at if last else since, since) > settings.within:
            changes.append(_silent(settings, source, called, last, now))
        elif fires is not None and last and not last.silent(settings.within, now):
            changes.append(Alert(fires.fingerprint, False, fires.starts_at, now, fires.labels, fires.annotations))
    return Delivery(now, b"the watchdog is silent, or heard again", tuple(changes)) if changes else None


def _sources(upstream: Upstream) -> list[tuple[str, str]]:
    """The sources that are configured, and what each is called; one that adds no labels is nameless."""
    labels = [server.labels for server in upstream.alertmanagers] or [{}]
    named = {source_named(known): ", ".join(f"{name}={value}" for name, value in known.items()) for known in labels}
    return list(named.items())


def _fingerprint(settings: Watchdog, source: str) -> str:
    return f"watchdog-{f'{source}-' if source else ''}{settings.alert}"[:100]


def _listened_to(connection: Connection, upstream: Upstream, settings: Watchdog) -> dict[str, tuple[str, Heard | None]]:
    """The sources that were ever heard, or every one where none was: what each is called, and when it was heard."""
    known = {source: (called, heard(connection, settings.alert, source)) for source, called in _sources(upstream)}
    # None was ever heard: then all are waited for, so that a first set-up that is wrong is noticed.
    if not any(last for _, last in known.values()):
        return known
    return {source: (called, last) for source, (called, last) in known.items() if last}


def _silent(settings: Watchdog, source: str, called: str, heard: Heard | None, now: datetime) -> Alert:
    last = f"last heard {heard.at:%Y-%m-%d %H:%M:%S} UTC" if heard else "never heard"
    which = f"{settings.alert} of {called}" if called else settings.alert
    return Alert(
        fingerprint=_fingerprint(settings, source),
        firing=True,
        starts_at=now,
        ends_at=None,
        labels=_labels(settings),
        annotations={
            AlertAnnotation.SUMMARY: f"{which} is silent: alerts may not be arriving",
            AlertAnnotation.DESCRIPTION: f"Expected at least every {format_duration(settings.within)}; {last}.",
        },
    )


def _labels(settings: Watchdog) -> dict[str, str]:
    return {
        "alertname": SILENT,
        AlertLabel.SERVICE: settings.service,
        AlertLabel.ENVIRONMENT: settings.environment,
        AlertLabel.SEVERITY: "critical",
        AlertLabel.INCIDENT_TYPE: "monitoring_failure",
        AlertLabel.ACTION: "escalate",
    }
