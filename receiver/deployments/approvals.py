"""Approvals that a gate asks for: who let which version and artifact go where, in which role, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.deployment_schema import gate_approvals


@dataclass(frozen=True, slots=True)
class GateApproval:
    """A person's word that a version, built as this artifact, may go into an environment; `role` is what they are."""

    id: int
    service: str
    environment: str
    version: str
    artifact: str
    role: str
    by: str
    verified: bool
    note: str
    at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As the API gives it."""
        return {
            "id": self.id,
            "service": self.service,
            "environment": self.environment,
            "version": self.version,
            "artifact": self.artifact,
            "role": self.role,
            "by": self.by,
            "verified": self.verified,
            "note": self.note,
            "at": self.at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "withdrawn_at": self.withdrawn_at.isoformat() if self.withdrawn_at else None,
            "withdrawn_by": self.withdrawn_by,
        }


def give(
    connection: Connection,
    *,
    service: str,
    environment: str,
    version: str,
    artifact: str,
    role: str,
    by: str,
    verified: bool,
    note: str,
    at: datetime,
    expires_at: datetime,
) -> GateApproval:
    """Store a person's approval."""
    row = {
        "service": service,
        "environment": environment,
        "version": version,
        "artifact": artifact,
        "role": role,
        "by": by,
        "verified": verified,
        "note": note,
        "at": at,
        "expires_at": expires_at,
    }
    number = insert_id(connection, gate_approvals, row)
    approval = find(connection, number)
    assert approval is not None  # noqa: S101 - it was inserted in this transaction
    return approval


def withdraw(connection: Connection, number: int, now: datetime, *, by: str) -> GateApproval | None:
    """Take an approval back; a second time changes nothing. None where there is no such approval."""
    connection.execute(
        update(gate_approvals)
        # The first who takes it back stays on the record.
        .where(gate_approvals.c.id == number, gate_approvals.c.withdrawn_at.is_(None))
        .values(withdrawn_at=now, withdrawn_by=by)
    )
    return find(connection, number)


def find(connection: Connection, number: int) -> GateApproval | None:
    """One approval, or None."""
    row = connection.execute(select(gate_approvals).where(gate_approvals.c.id == number)).mappings().first()
    return _approval(row) if row else None


def of_version(connection: Connection, service: str, environment: str, version: str) -> list[GateApproval]:
    """Every approval of a version in an environment, the oldest first; also what expired or was taken back."""
    query = select(gate_approvals).where(
        gate_approvals.c.service == service,
        gate_approvals.c.environment == environment,
        gate_approvals.c.version == version,
    )
    return [_approval(row) for row in connection.execute(query.order_by(gate_approvals.c.id)).mappings()]


def _approval(row: RowMapping) -> GateApproval:
    return GateApproval(**row)
