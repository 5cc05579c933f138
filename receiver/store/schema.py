"""The tables. Times are UTC; what is open, and what must be unique, the database itself guarantees."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """A UTC time on both stores: SQLite keeps no time zone, so it is taken off on the way in and put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_Id = BigInteger().with_variant(Integer(), "sqlite")


def identifier() -> Column[int]:
    """The number of a row, which is never given twice."""
    return Column("id", _Id, primary_key=True, autoincrement=True)


def table(name: str, *parts: Any) -> Table:
    """A table of the store."""
    # Without it SQLite gives the number of a deleted row to the next one.
    return Table(name, metadata, *parts, sqlite_autoincrement="id" in {getattr(part, "name", "") for part in parts})


deliveries = table(
    "deliveries",
    identifier(),
    Column("received_at", Moment, nullable=False, index=True),
    Column("alerts", Integer, nullable=False),
    # The SHA-256 of the body, which is empty where a delivery of the day before has the same.
    Column("digest", LargeBinary, nullable=False, server_default=""),
    Column("body", LargeBinary, nullable=False),
)

quarantine = table(
    "quarantine",
    identifier(),
    Column("received_at", Moment, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("remote", String(100), nullable=False),
    Column("body", LargeBinary, nullable=False),
)

incidents = table(
    "incidents",
    identifier(),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    # What makes one open incident a service, environment and further values: set while it is open, NULL afterwards.
    Column("open_key", Text, unique=True),
    Column("severity", String(20), nullable=False),
    Column("type", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("channels", JSON, nullable=False),
    Column("opened_at", Moment, nullable=False, index=True),
    Column("acknowledged_at", Moment),
    Column("acknowledged_by", Text),
    Column("quiet_since", Moment),
    Column("resolved_at", Moment, index=True),
    Column("resolved_by", Text),
    # People: who leads, since when somebody works against it, what it probably comes from, and whose review is done.
    Column("commander", Text),
    Column("mitigating_since", Moment),
    Column("cause", String(20)),
    Column("cause_why", Text),
    Column("reviewed_at", Moment),
    Column("reviewed_by", Text),
    # The values of further labels, by name, that tell it from others of its service and environment.
    Column("correlation", JSON, nullable=False, server_default="{}"),
    # What is open is found without a look at the rest.
    Index(
        "ix_incidents_open",
        "id",
        sqlite_where=text("open_key IS NOT NULL"),
        postgresql_where=text("open_key IS NOT NULL"),
    ),
)

# One row an episode: an alert that fires again has a later start. The newest of a fingerprint is the current one.
alerts = table(
    "alerts",
    Column("fingerprint", String(100), primary_key=True),
    Column("starts_at", Moment, primary_key=True),
    Column("current", Boolean, nullable=False),
    Column("incident_id", ForeignKey("incidents.id"), index=True),
    Column("status", String(10), nullable=False),
    Column("ends_at", Moment),
    Column("severity", String(20), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("annotations", JSON, nullable=False),
    Column("generator_url", Text, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

timeline = table(
    "timeline",
    identifier(),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False, index=True),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
)

jobs = table(
    "jobs",
    identifier(),
    Column("kind", String(40), nullable=False),
    # The same thing is never queued twice.
    Column("key", String(200), nullable=False, unique=True),
    # Jobs of one serial key run one after another, in their order.
    # It keeps the column's first name, so that a replica of an older version may write beside one of this.
    Column("lane", String(200), key="serial_key", nullable=False),
    # Of one queue only so many run at a time, so that what hangs there leaves room for the others.
    Column("queue", String(200), nullable=False),
    # Which of what is due runs first; what a replica of an older version queues is of no special urgency.
    Column("urgency", SmallInteger, nullable=False, server_default="2"),
    Column("incident_id", ForeignKey("incidents.id"), index=True),
    Column("payload", JSON, nullable=False),
    Column("state", String(10), nullable=False),
    Column("run_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    # Sendings that were cut off, so that nobody knows whether they arrived.
    Column("doubts", Integer, key="uncertain_attempts", nullable=False, server_default="0"),
    Column("leased_by", String(100)),
    Column("leased_until", Moment),
    Column("note", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment, index=True),
    Index("ix_jobs_open", "state", "run_at"),
    Index("ix_jobs_urgent", "state", "urgency", "run_at"),
    Index("ix_jobs_lane", "serial_key", "state"),
)

threads = table(
    "threads",
    Column("incident_id", ForeignKey("incidents.id"), primary_key=True),
    Column("channel", String(100), primary_key=True),
    Column("reference", Text, nullable=False),
)

deployments = table(
    "deployments",
    identifier(),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("previous_version", Text),
    Column("strategy", Text, nullable=False),
    Column("deployer", Text, nullable=False),
    Column("ports", JSON, nullable=False),
    Column("status", String(20), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("rollback_of", ForeignKey("deployments.id")),
    Column("artifact", Text, nullable=False, server_default=""),
    Column("committed_at", Moment),
    # The incident that it is meant to end; no reference, because the ledger outlives incidents.
    Column("fixes", _Id),
    # The last verdict that decided: promote, roll_back, or accepted where a person took over; NULL before that.
    Column("verdict", String(20)),
    Column("judged_at", Moment),
    # Whether it was a success, as its watching showed: validated, refuted or unproven; NULL until that is known.
    Column("success", String(20)),
    Column("success_at", Moment),
    Column("success_why", Text),
    Index("ix_deployments_target", "service", "environment", "started_at"),
)

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

# Actions and their brakes: who holds a target, what waits for a person's word, what ran, and what was found.

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

# People: what they tick, when actions are held back for them, and what they did.

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
    Column("incident_id", _Id, index=True),
    Column("path", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("remote", String(100), nullable=False),
)

# Who has signed in to the console.
sessions = table(
    "sessions",
    # The SHA-256 of what the browser holds: who reads the table can't sign in by it.
    Column("id", String(64), primary_key=True),
    # Password or token.
    Column("kind", String(20), nullable=False),
    Column("name", Text, nullable=False, index=True),
    # What the web config calls them, and a digest of the credential: a session ends when that is changed.
    Column("user", Text, nullable=False),
    Column("credential", String(64), nullable=False),
    # The name in `Host` under which the browser signed in.
    Column("host", Text, nullable=False),
    Column("remote", String(100), nullable=False),
    Column("agent", Text, nullable=False),
    Column("began_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False, index=True),
)

# Counters that metrics show: of each name a row for each combination of its labels' values.
counters = table(
    "tallies",
    Column("name", String(100), primary_key=True),
    Column("labels", Text, primary_key=True),
    Column("value", Float, nullable=False),
)
