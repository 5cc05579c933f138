"""Alerts as they came, read back from the store for actions that are done later."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, select

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.store.schema import alerts


def alert(connection: Connection, fingerprint: str, starts_at: datetime) -> Alert:
    """One episode that must be there."""
    query = select(alerts).where(alerts.c.fingerprint == fingerprint, alerts.c.starts_at == starts_at)
    return _alert(connection.execute(query).mappings().one())


def firing(connection: Connection, incident_id: int) -> frozenset[str]:
    """The fingerprints of an incident's alerts that fire."""
    query = select(alerts.c.fingerprint).where(
        alerts.c.incident_id == incident_id, alerts.c.current, alerts.c.status == "firing"
    )
    return frozenset(connection.execute(query).scalars())


def leading(connection: Connection, incident_id: int) -> Alert | None:
    """The alert of an incident that has fired for longest, of those that fire still."""
    query = (
        select(alerts)
        .where(alerts.c.incident_id == incident_id, alerts.c.current, alerts.c.status == "firing")
        .order_by(alerts.c.starts_at, alerts.c.fingerprint)
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return _alert(row) if row else None


def _alert(row: RowMapping) -> Alert:
    return Alert(
        fingerprint=row["fingerprint"],
        firing=row["status"] == "firing",
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        labels=row["labels"],
        annotations=row["annotations"],
        generator_url=row["generator_url"],
    )
