"""The table of events: a row a fact that is published, written in the transaction that makes the fact."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, String, Text

from deploywatch.receiver.store.columns import Moment, identifier, table

events = table(
    "events",
    identifier(),
    # When it happened, and when it was written down.
    Column("at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False, index=True),
    Column("type", String(100), nullable=False),
    # Who says so; as it was then.
    Column("source", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # The subject's content, and what is known beyond that.
    Column("data", JSON, nullable=False),
    Index("ix_events_target", "service", "environment", "type"),
)
