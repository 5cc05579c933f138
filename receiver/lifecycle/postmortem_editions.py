"""Post-mortems as people edit them: each edition stays, and one that began from an older one is not taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.store.console_schema import postmortems


@dataclass(frozen=True, slots=True)
class Edition:
    """A post-mortem as somebody left it; versions count from 1, and 0 is the draft."""

    version: int
    text: str
    at: datetime
    by: str


def newest(connection: Connection, incident_id: int) -> Edition | None:
    """The edition that counts; None while there is the draft alone."""
    table = postmortems
    query = select(table).where(table.c.incident_id == incident_id).order_by(table.c.version.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return Edition(row["version"], row["text"], row["at"], row["by"]) if row else None


def save(
    connection: Connection, incident_id: int, text: str, now: datetime, *, by: str, seen: int
) -> tuple[Edition, bool]:
    """The edition that counts then, and whether it is this text: only where `seen` was the newest until now."""
    last = newest(connection, incident_id)
    if last is not None and last.text == text:
        return last, True
    if (last.version if last else 0) != seen:
        return last or Edition(0, "", now, ""), False
    edition = Edition(seen + 1, text, now, by)
    row = {"incident_id": incident_id, "version": edition.version, "text": text, "at": now, "by": by}
    connection.execute(insert(postmortems).values(**row))
    words = f"post-mortem edited: version {edition.version}"
    timeline.write(connection, incident_id, now, Kind.POSTMORTEM, words, actor=by)
    return edition, True
