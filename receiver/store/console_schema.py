"""The tables of the console: changes counted, screens with a link, edited post-mortems, who has signed in."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    String,
    Text,
)

from deploywatch.receiver.store.columns import Moment, identifier, table

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
