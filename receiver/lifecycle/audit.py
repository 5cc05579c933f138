"""Who changed what through the API, when and from where; written in the transaction of the change itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from deploywatch.receiver.store.people_schema import audit


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: `what` is a bounded word such as `incidents.acknowledge`, `detail` what was sent with it.

    `verified` says whether the server checked that it was `who`; else they say so themselves.
    """

    at: datetime
    who: str
    verified: bool
    what: str
    path: str
    incident_id: int | None = None
    detail: Mapping[str, Any] | None = None
    remote: str = ""


def record(connection: Connection, entry: Entry) -> None:
    """Write one change down."""
    values = {
        "at": entry.at,
        "who": entry.who,
        "verified": entry.verified,
        "what": entry.what[:40],
        "incident_id": entry.incident_id,
        "path": entry.path,
        "detail": dict(entry.detail or {}),
        "remote": entry.remote[:100],
    }
    connection.execute(insert(audit).values(**values))


def entries(
    connection: Connection, *, limit: int, incident_id: int | None = None, who: str | None = None
) -> list[dict[str, Any]]:
    """The newest changes first, as plain rows."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if incident_id is not None:
        query = query.where(audit.c.incident_id == incident_id)
    if who is not None:
        query = query.where(audit.c.who == who)
    return [dict(row) for row in connection.execute(query).mappings()]
