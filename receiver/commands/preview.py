"""A notification as it would be sent: a template rendered with the alerts of a webhook, without sending anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from deploywatch.errors import ConfigError, Problem
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.alerts.alert_views import view
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.incidents.timeline import SYSTEM
from deploywatch.receiver.intake.payload import RejectedError, understand
from deploywatch.receiver.messages import Message
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.strategy import incident_type
from deploywatch.receiver.settings.targets import correlation
from deploywatch.receiver.story import AlertView, DeploymentView, Event, RollbackView, Story, TimelineEntryView

POSTMORTEM = "postmortem"
"""The name of the one that is no message."""
_ROLLBACK = RollbackView(
    "1.2.3", "1.2.2", "cooldown", "an example, as the alert says nothing of it", timedelta(seconds=42)
)


def preview(event: Event, file: Path, settings: ReceiverConfig, now: datetime) -> Message:
    """Render one event for an incident that these alerts would open; ConfigError when the file is no webhook.

    Versions, times and links of which alerts say nothing are examples.
    """
    incident, alerts = _opened(file, settings, now)
    if event is Event.RESOLVED:
        incident = replace(incident, resolved_at=now)
    about_rollback = event.value.startswith(("rollback", "approval"))
    asks, url = event is Event.APPROVAL_WANTED, settings.external_url.rstrip("/") or "https://deploywatch.example"
    story = Story(
        event=event,
        at=now,
        incident=incident.view(settings.external_url),
        alerts=alerts,
        rollback=_ROLLBACK if about_rollback else None,
        eta=timedelta(minutes=2) if about_rollback else None,
        expires=now + timedelta(minutes=15) if event.value.startswith("approval") else None,
        approve_url=f"{url}/approval?an-example" if asks else "",
        reject_url=f"{url}/approval?an-example" if asks else "",
        deployment=_deployment(incident),
        bridge=settings.response.bridge_of(incident.id),
    )
    return Templates(settings.templates).render(story)


def preview_postmortem(file: Path, settings: ReceiverConfig, now: datetime) -> str:
    """The draft of the review of an incident that these alerts opened and that has just ended, as Markdown."""
    incident, alerts = _opened(file, settings, now)
    view = replace(incident, resolved_at=now).view(settings.external_url)
    lines = (
        TimelineEntryView(incident.opened_at, Kind.OPENED, SYSTEM, f"opened by {alerts[0].name}: {incident.severity}"),
        TimelineEntryView(now, Kind.RESOLVED, SYSTEM, "resolved: an example"),
    )
    templates = Templates(settings.templates)
    return templates.render_postmortem(view, alerts, lines, _ROLLBACK, _deployment(incident))


def _opened(file: Path, settings: ReceiverConfig, now: datetime) -> tuple[Incident, tuple[AlertView, ...]]:
    """The incident that the alerts of the file would open, and the alerts as templates see them."""
    alerts = _alerts(file, now)
    first = alerts[0]
    service, environment = settings.target(first)
    incident = Incident(
        id=1,
        service=service,
        environment=environment,
        severity=settings.strategy.severity(first),
        type=incident_type(first),
        title=first.annotations.get("summary") or first.name,
        channels=tuple(settings.channels),
        opened_at=min(now, first.starts_at),
        correlation=correlation(first, settings.further_labels),
    )
    return incident, tuple(view(alert, settings.strategy.severity(alert)) for alert in alerts)


def _deployment(incident: Incident) -> DeploymentView:
    began = incident.opened_at - timedelta(minutes=2)
    place = (incident.service, incident.environment)
    return DeploymentView(*place, "1.2.3", "1.2.2", began, began, "succeeded", "an example")


def _alerts(file: Path, now: datetime) -> tuple[Alert, ...]:
    try:
        delivery = understand(file.read_bytes(), now)
    except OSError as error:
        raise ConfigError([Problem(str(file), 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    except RejectedError as error:
        raise ConfigError([Problem(str(file), 0, 0, "", str(error))]) from error
    if delivery.rejected:
        raise ConfigError([Problem(str(file), 0, 0, "", fault) for fault in delivery.rejected])
    if not delivery.alerts:
        raise ConfigError([Problem(str(file), 0, 0, "alerts", "is empty; give at least one alert")])
    return delivery.alerts
