"""Attachments of an incident: named texts that were collected about it, cut to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert

from deploywatch.receiver.store.action_schema import attachments

# An incident in a storm may have hundreds of them, and SQLite keeps them all in one file.
LIMIT: Final = 256 * 1024
"""Bytes of one attachment that are kept: the end, which is where trouble shows."""

_KEEP = insert(attachments).returning(attachments.c.id)
MediaType = Literal["text/plain", "application/json"]


@dataclass(frozen=True, slots=True)
class Found:
    """One text that was collected about an incident."""

    name: str
    text: str
    media_type: MediaType = "text/plain"


def keep(connection: Connection, incident_id: int, findings: Sequence[Found], now: datetime) -> list[int]:
    """Store attachments; their numbers come back, in the same order."""
    rows = [_row(incident_id, finding, now) for finding in findings]
    # Numbers are given in the order of the rows, in whichever order they come back.
    return sorted(connection.execute(_KEEP, rows).scalars()) if rows else []


def _row(incident_id: int, finding: Found, now: datetime) -> dict[str, Any]:
    body = finding.text.encode("utf-8", "replace")
    return {
        "incident_id": incident_id,
        "name": finding.name,
        "media_type": finding.media_type,
        "body": body[-LIMIT:],
        "cut": len(body) > LIMIT,
        "created_at": now,
    }
