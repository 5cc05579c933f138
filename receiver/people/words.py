"""What a message to people adds to its reason: the probable cause, and where they meet."""

from __future__ import annotations

from receiver.config import ReceiverConfig
from receiver.incidents.book import Incident
from receiver.people.causes import Cause


def with_context(settings: ReceiverConfig, incident: Incident, why: str) -> str:
    """The reason, with the probable cause where there is one, and with the bridge where one is configured."""
    parts = [why]
    if incident.cause and incident.cause != Cause.UNKNOWN:
        parts.append(f"probable cause: {incident.cause} ({incident.cause_why})")
    if bridge := settings.response.bridge_of(incident.id):
        parts.append(f"bridge: {bridge}")
    return "; ".join(parts)
