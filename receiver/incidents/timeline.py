"""An incident's timeline: every line has a kind, and some kinds are read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from deploywatch.conventions import IncidentMetric
from deploywatch.receiver.incidents.kinds import ASIDE, ROLLBACKS, Kind, counted
from deploywatch.receiver.store import counters, insert_later
from deploywatch.receiver.store.chunks import chunks
from deploywatch.receiver.store.schema import timeline
from deploywatch.receiver.story import TimelineEntryView

SYSTEM = "deploywatch"


def write(
    connection: Connection, incident_id: int, at: datetime, kind: Kind, text: str, *, actor: str = SYSTEM
) -> None:
    """Add one line to the timeline; one that says how an action ended is counted."""
    write_all(connection, [line(incident_id, at, kind, text, actor=actor)])
    # Counted with the line, in one transaction: a counter that runs ahead of the timeline could never be explained.
    if labels := counted(kind):
        counters.add(connection, IncidentMetric.ACTIONS, *labels)


def line(incident_id: int, at: datetime, kind: Kind, text: str, *, actor: str = SYSTEM) -> dict[str, Any]:
    """One line of the timeline, to be written with others."""
    return {"incident_id": incident_id, "at": at, "kind": kind, "actor": actor, "text": text[:4000]}


def write_all(connection: Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add lines to timelines."""
    insert_later(connection, timeline, lines)


def entries(connection: Connection, incident_id: int) -> list[TimelineEntryView]:
    """The incident's timeline, oldest first."""
    query = select(timeline).where(timeline.c.incident_id == incident_id).order_by(timeline.c.at, timeline.c.id)
    return [
        TimelineEntryView(row["at"], row["kind"], row["actor"], row["text"], aside=row["kind"] in ASIDE)
        for row in connection.execute(query).mappings()
    ]


def kinds(connection: Connection, incident_ids: Iterable[int]) -> set[tuple[int, str]]:
    """Which kinds of lines are on these incidents' timelines."""
    query = select(timeline.c.incident_id, timeline.c.kind).distinct()
    return {
        (incident_id, kind)
        for chunk in chunks(incident_ids)
        for incident_id, kind in connection.execute(query.where(timeline.c.incident_id.in_(chunk)))
    }


def rollback_said(connection: Connection, incident_id: int) -> str:
    """What the incident's timeline last said of a rollback; an empty text when it never did."""
    query = select(timeline.c.text).where(timeline.c.incident_id == incident_id, timeline.c.kind.in_(ROLLBACKS))
    return connection.execute(query.order_by(timeline.c.id.desc()).limit(1)).scalar() or ""


def moments(connection: Connection, incident_id: int, kind: str) -> list[datetime]:
    """When lines of one kind were written to the incident's timeline, oldest first."""
    query = select(timeline.c.at).where(timeline.c.incident_id == incident_id, timeline.c.kind == kind)
    return list(connection.execute(query.order_by(timeline.c.at, timeline.c.id)).scalars())
