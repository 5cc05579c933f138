"""The checklist of an incident: what to watch and what to resolve, ticked by people (source 000, V6b)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from deploywatch.receiver.settings.strategy import Strategy
from deploywatch.receiver.store import insert_later
from deploywatch.receiver.store.people_schema import checklist

_OF = select(checklist).where(checklist.c.incident_id == bindparam("incident")).order_by(checklist.c.item)
PHASES = ("monitoring", "resolution")


@dataclass(frozen=True, slots=True)
class Check:
    """One item, numbered from 1 within its incident; `phase` is monitoring or resolution."""

    item: int
    phase: str
    text: str
    done_at: datetime | None
    done_by: str | None


def add(connection: Connection, incident_id: int, strategy: Strategy) -> None:
    """Add the strategy's items that are not there yet; what is ticked stays ticked."""
    known = checks(connection, incident_id)
    have, number = {(check.phase, check.text) for check in known}, len(known)
    new = [check for check in planned(strategy) if (check.phase, check.text) not in have]
    rows = [
        {"incident_id": incident_id, "item": number + count, "phase": check.phase, "text": check.text}
        for count, check in enumerate(new, start=1)
    ]
    insert_later(connection, checklist, rows)


def checks(connection: Connection, incident_id: int) -> list[Check]:
    """The items, in their order."""
    return [
        Check(row["item"], row["phase"], row["text"], row["done_at"], row["done_by"])
        for row in connection.execute(_OF, {"incident": incident_id}).mappings()
    ]


def planned(strategy: Strategy) -> list[Check]:
    """What the checklist will be, before it is stored."""
    wanted = [(phase, text) for phase in PHASES for text in dict.fromkeys(getattr(strategy, phase))]
    return [Check(number, phase, text, None, None) for number, (phase, text) in enumerate(wanted, start=1)]


def tick(connection: Connection, incident_id: int, item: int, at: datetime | None, by: str | None) -> Check | None:
    """Tick an item, or with no time untick it; None when there is no such item."""
    connection.execute(
        update(checklist)
        .where(checklist.c.incident_id == incident_id, checklist.c.item == item)
        .values(done_at=at, done_by=by)
    )
    return next((check for check in checks(connection, incident_id) if check.item == item), None)
