"""The tables of the console: how often what pages show has changed, screens with a link, and edited post-mortems."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Text

from deploywatch.receiver.store.schema import Moment, identifier, table

# One row, counted up in each transaction that changes what pages show: so each replica sees what any has written.
changes = table(
    "changes",
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

# Screens that show the wall by a link of their own.
screens = table(
    "screens",
    identifier(),
    Column("name", Text, nullable=False),
    # The SHA-256 of what the link bears: who reads the table can't open it.
    Column("digest", String(64), nullable=False, unique=True),
    Column("made_at", Moment, nullable=False),
    Column("made_by", Text, nullable=False),
)

# Each edition of a post-mortem stays: nobody's words are lost to those of the next.
postmortems = table(
    "postmortems",
    Column("incident_id", ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", Text, nullable=False),
)
