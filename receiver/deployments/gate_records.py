"""Dated records that a gate asks for, such as a backup that was made: a fact with its time, not a tick."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.deployment_schema import gate_records


@dataclass(frozen=True, slots=True)
class GateRecord:
    """Something that was done for a service: `kind` names it, `at` is when, `recorded_at` when we heard of it."""

    id: int
    service: str
    environment: str
    kind: str
    at: datetime
    recorded_at: datetime
    by: str
    detail: str

    def to_json(self) -> dict[str, Any]:
        """As the API gives it."""
        return {
            "id": self.id,
            "service": self.service,
            "environment": self.environment,
            "kind": self.kind,
            "at": self.at.isoformat(),
            "recorded_at": self.recorded_at.isoformat(),
            "by": self.by,
            "detail": self.detail,
        }


def add(
    connection: Connection,
    *,
    service: str,
    environment: str,
    kind: str,
    at: datetime,
    recorded_at: datetime,
    by: str,
    detail: str,
) -> GateRecord:
    """Store a record."""
    row = {
        "service": service,
        "environment": environment,
        "kind": kind,
        "at": at,
        "recorded_at": recorded_at,
        "by": by,
        "detail": detail,
    }
    return GateRecord(insert_id(connection, gate_records, row), **row)  # type: ignore[arg-type] # the row's own values


def newest(connection: Connection, service: str, environment: str, kind: str) -> GateRecord | None:
    """The newest record of a kind; None where there is none."""
    query = select(gate_records).where(
        gate_records.c.service == service, gate_records.c.environment == environment, gate_records.c.kind == kind
    )
    row = connection.execute(query.order_by(gate_records.c.at.desc()).limit(1)).mappings().first()
    return GateRecord(**row) if row else None
