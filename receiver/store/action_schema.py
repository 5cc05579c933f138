"""The tables of actions and their brakes: who holds a target, what waits for a person, what ran, what was found."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
)

from deploywatch.receiver.store.columns import Moment, identifier, table

rollbacks = table(
    "rollbacks",
    identifier(),
    # At most one rollback for a deployment, ever: written before the command starts.
    Column("deployment_id", ForeignKey("deployments.id"), nullable=False, unique=True),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False, index=True),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("from_version", Text, nullable=False),
    Column("to_version", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
)
target_locks = table(
    "target_locks",
    # One holder a target, whichever replica it is on: the row is the lock, and only its holder takes it away.
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("since", Moment, nullable=False),
)
approvals = table(
    "approvals",
    identifier(),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False),
    Column("deployment_id", ForeignKey("deployments.id"), nullable=False),
    Column("to_version", Text, nullable=False),
    # Waiting, approved, rejected or expired.
    Column("state", String(20), nullable=False),
    # In every signed link, and gone once one was used.
    Column("nonce", String(64)),
    Column("asked_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("decided_at", Moment),
    Column("decided_by", Text),
    Column("note", Text, nullable=False),
    # A person is asked once about a deployment in an incident.
    Index("ix_approvals_once", "incident_id", "deployment_id", unique=True),
)
breaker_resets = table(
    "breaker_resets",
    identifier(),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Index("ix_breaker_resets_target", "service", "environment", "at"),
)
action_runs = table(
    "action_runs",
    identifier(),
    # The name of the action, such as scale.
    Column("action", String(40), nullable=False),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False, index=True),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    # At most once: written before it starts.
    Column("key", String(200), nullable=False, unique=True),
    Column("state", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Index("ix_action_runs_target", "action", "service", "environment", "started_at"),
)
attachments = table(
    "attachments",
    identifier(),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("media_type", String(100), nullable=False),
    Column("body", LargeBinary, nullable=False),
    # Whether only the end of what there was is kept.
    Column("cut", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
)
