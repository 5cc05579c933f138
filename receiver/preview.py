"""A notification as it would be sent: a template rendered with the alerts of a webhook, without sending anything."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from deploywatch.errors import ConfigError, Problem
from receiver.config import ReceiverConfig
from receiver.incidents.book import Incident, alert_view
from receiver.incidents.rules import Alert
from receiver.messages import Event, Message, RollbackView, Story
from receiver.rendering import Templates
from receiver.strategy import incident_type, target
from receiver.webhook import RejectedError, understand

_ROLLBACK = RollbackView(
    "1.2.3", "1.2.2", "cooldown", "an example, as the alert says nothing of it", timedelta(seconds=42)
)


def preview(event: Event, file: Path, settings: ReceiverConfig, now: datetime) -> Message:
    """Render one event for an incident that these alerts would open; ConfigError when the file is no webhook.

    Where an event is about a rollback, an example stands in, because alerts say nothing about versions.
    """
    alerts = _alerts(file, now)
    first = alerts[0]
    service, environment = target(first)
    incident = Incident(
        id=1,
        service=service,
        environment=environment,
        severity=settings.strategy.severity(first),
        type=incident_type(first),
        title=first.annotations.get("summary") or first.name,
        channels=tuple(settings.channels),
        opened_at=min(now, first.starts_at),
        resolved_at=now if event is Event.RESOLVED else None,
    )
    story = Story(
        event=event,
        at=now,
        incident=incident.view(settings.external_url),
        alerts=tuple(alert_view(alert, settings.strategy.severity(alert)) for alert in alerts),
        rollback=_ROLLBACK if event.value.startswith(("rollback", "approval")) else None,
    )
    return Templates(settings.templates).render(story)


def _alerts(file: Path, now: datetime) -> tuple[Alert, ...]:
    try:
        alerts = understand(file.read_bytes(), now).alerts
    except OSError as error:
        raise ConfigError([Problem(str(file), 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    except RejectedError as error:
        raise ConfigError([Problem(str(file), 0, 0, "", str(error))]) from error
    if not alerts:
        raise ConfigError([Problem(str(file), 0, 0, "alerts", "is empty; give at least one alert")])
    return alerts
