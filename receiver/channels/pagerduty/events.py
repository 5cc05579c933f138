"""What PagerDuty is sent: alerts and change events of the Events API v2, within its limits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from deploywatch.receiver.messages import Message
from deploywatch.receiver.rendering.filters import lasting, utc
from deploywatch.receiver.rendering.text import cut, line
from deploywatch.receiver.story import DeploymentView

LIMIT: Final = 512 * 1024
"""Bytes of an event."""
FRAME: Final = 1024
"""Bytes kept for what the client adds: routing key, action and dedup_key."""
# By PagerDuty's documentation of the Events API v2, which refuses what is longer.
SUMMARY_LIMIT: Final = 1024
DEDUP_KEY_LIMIT: Final = 255
FIELD_LIMIT: Final = 1024
LINKS: Final = 20
LINK_LIMIT: Final = 2000

SEVERITIES: Final = {"critical": "critical", "high": "error", "medium": "warning", "low": "info"}
DEPLOYED: Final = {
    "running": "is being deployed to",
    "succeeded": "deployed to",
    "failed": "failed to deploy to",
    "rolled_back": "rolled back in",
}

Event = dict[str, Any]


def alert(message: Message, client_url: str | None = None) -> Event:
    """What a trigger says beside its key: summary, source, severity, details and links."""
    incident = message.incident
    event: Event = {
        "payload": {
            "summary": line(message.title, SUMMARY_LIMIT) or "incident",
            "source": line(incident.service, FIELD_LIMIT) or "unknown service",
            "severity": SEVERITIES.get(incident.severity, "warning"),
            "group": line(incident.environment, FIELD_LIMIT),
            "class": line(incident.type, FIELD_LIMIT),
            "custom_details": {
                "message": message.body,
                "event": message.event.value,
                "incident": str(incident.id),
                "service": line(incident.service, FIELD_LIMIT),
                "environment": line(incident.environment, FIELD_LIMIT),
                "severity": line(incident.severity, FIELD_LIMIT),
                "opened": utc(incident.opened_at),
            },
        },
        "client": "deploywatch",
    }
    if message.at:
        event["payload"]["timestamp"] = _iso(message.at)
    links = [{"href": url, "text": line(name, 100)} for name, url in message.links[:LINKS] if len(url) <= LINK_LIMIT]
    if links:
        event["links"] = links
    # A link that is cut leads nowhere: one that is too long is left out.
    home = incident.url if 0 < len(incident.url) <= LINK_LIMIT else client_url
    if home:
        event["client_url"] = home
    return _fitted(event)


def change(deployment: DeploymentView) -> Event:
    """A deployment as a change event, which pages nobody and stands beside the alerts of its time."""
    at, ended = deployment.started_at, deployment.finished_at
    did = DEPLOYED.get(deployment.status, f"({deployment.status}) deployed to")
    named = f"{deployment.service} {deployment.version} {did} {deployment.environment}"
    details = {
        "service": deployment.service,
        "environment": deployment.environment,
        "version": deployment.version,
        "previous_version": deployment.previous_version or "unknown",
        "status": deployment.status,
        "deployer": deployment.deployer or "unknown",
        "started": utc(at),
        "finished": utc(ended) if ended else "not yet",
        "duration": lasting(ended - at) if ended else "unknown",
    }
    payload = {
        "summary": line(f"{named} by {deployment.deployer}" if deployment.deployer else named, SUMMARY_LIMIT),
        "source": line(deployment.service, FIELD_LIMIT) or "unknown service",
        "timestamp": _iso(ended or at),
        "custom_details": {name: line(value, FIELD_LIMIT) for name, value in details.items()},
    }
    return {"payload": payload}


def dedup_key(message: Message, *, new: bool = False) -> str:
    """The incident's key, at most 255 characters; `new` is that of the trouble which the message begins."""
    return message.trouble_key(DEDUP_KEY_LIMIT) if new else message.dedup_key[:DEDUP_KEY_LIMIT]


def _fitted(event: Event) -> Event:
    """The event with its message cut until the whole keeps to the API's limit; all else is bounded already."""
    details = event["payload"]["custom_details"]
    # Measured as it is sent: JSON writes a character outside ASCII in six bytes or twelve.
    while details["message"] and len(json.dumps(event)) > LIMIT - FRAME:
        details["message"] = cut(details["message"], len(details["message"]) // 2)
    return event


def _iso(at: datetime) -> str:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat(timespec="milliseconds")
