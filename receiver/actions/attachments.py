"""Attachments of an incident: named texts that were collected about it, cut to a limit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import Connection

from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.schema import attachments

LIMIT: Final = 256 * 1024
"""Bytes of one attachment that are kept: the end, which is where trouble shows."""

MediaType = Literal["text/plain", "application/json"]


@dataclass(frozen=True, slots=True)
class Found:
    """One text that was collected about an incident."""

    name: str
    text: str
    media_type: MediaType = "text/plain"


def keep(connection: Connection, incident_id: int, finding: Found, now: datetime) -> int:
    """Store an attachment; its number comes back."""
    body = finding.text.encode("utf-8", "replace")
    row = {
        "incident_id": incident_id,
        "name": finding.name,
        "media_type": finding.media_type,
        "body": body[-LIMIT:],
        "cut": len(body) > LIMIT,
        "created_at": now,
    }
    return insert_id(connection, attachments, row)
