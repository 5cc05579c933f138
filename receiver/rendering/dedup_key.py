"""The deduplication key of an incident: the same on every channel for its whole life."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import Final

from deploywatch.receiver.story import IncidentView

DEDUP_KEY_LIMIT: Final = 255
"""PagerDuty's limit, the narrowest of those that take a key."""


def dedup_key(incident: IncidentView) -> str:
    """What names this incident, and no other of any receiver, on every channel for its whole life."""
    opened = incident.opened_at if incident.opened_at.tzinfo else incident.opened_at.replace(tzinfo=UTC)
    place = f"{incident.environment}/{incident.service}"
    key = f"deploywatch/{place}/{incident.id}/{int(opened.timestamp())}"
    if len(key) <= DEDUP_KEY_LIMIT and key.isascii() and key.isprintable():
        return key
    digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"deploywatch/{digest}/{incident.id}/{int(opened.timestamp())}"
