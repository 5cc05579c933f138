"""The tables. Times are UTC; what is open, and what must be unique, the database itself guarantees."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    text,
)

from deploywatch.receiver.store.columns import Id, Moment, identifier, table

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
    # The earlier start that Alertmanager has given the episode since; NULL where it has not.
    Column("lowered_to", Moment),
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
    # A bounded word for how the last run ended, empty where nothing is to be said; NULL before it, and where a replica
    # of an older version ran it.
    Column("reason", Text),
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
    Column("fixes", Id),
    # The last verdict that decided: promote, roll_back, or accepted where a person took over; NULL before that.
    Column("verdict", String(20)),
    Column("judged_at", Moment),
    # Whether it was a success, as its watching showed: validated, refuted or unproven; NULL until that is known.
    Column("success", String(20)),
    Column("success_at", Moment),
    Column("success_why", Text),
    Index("ix_deployments_target", "service", "environment", "started_at"),
)


# Counters that metrics show: of each name a row for each combination of its labels' values.
counters = table(
    "tallies",
    Column("name", String(100), primary_key=True),
    Column("labels", Text, primary_key=True),
    Column("value", Float, nullable=False),
)
