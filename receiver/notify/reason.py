"""What a message to people adds to its reason: the probable cause."""

from __future__ import annotations

from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.settings.people.causes import Cause


def with_context(incident: Incident, why: str) -> str:
    """The reason, with the probable cause where there is one."""
    if not incident.cause or incident.cause == Cause.UNKNOWN:
        return why
    return f"{why}; probable cause: {incident.cause} ({incident.cause_why})"
