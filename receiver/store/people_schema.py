"""The tables of what people do: what they tick, when actions are held back for them, and the audit."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    String,
    Text,
)

from deploywatch.receiver.store.columns import Id, Moment, identifier, table

checklist = table(
    "checklist",
    Column("incident_id", ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    # From 1, as people count.
    Column("item", Integer, primary_key=True, autoincrement=False),
    # Monitoring or resolution.
    Column("phase", String(20), nullable=False),
    Column("text", Text, nullable=False),
    Column("done_at", Moment),
    Column("done_by", Text),
)
maintenance = table(
    "maintenance",
    identifier(),
    # A name, or * for any.
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False, index=True),
    Column("tell", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    # Who ended it before its time.
    Column("ended_by", Text),
)
audit = table(
    "audit",
    identifier(),
    Column("at", Moment, nullable=False, index=True),
    Column("who", Text, nullable=False),
    # Whether the server checked who that is.
    Column("verified", Boolean, nullable=False),
    Column("what", String(40), nullable=False),
    # No reference: it outlives the incident.
    Column("incident_id", Id, index=True),
    Column("path", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("remote", String(100), nullable=False),
)
