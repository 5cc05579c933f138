"""One migration a database at a time, and the number by which its transaction can be asked for later."""

from __future__ import annotations

import zlib

import asyncpg

from deploywatch.receiver.database_migration.outcome import Outcome, StopError
from deploywatch.receiver.database_migration.plan import Database
from deploywatch.receiver.database_migration.session import connect

_LOCK_SPACE = zlib.crc32(b"deploywatch migrate") & 0x7FFFFFFF


async def take_turn(session: asyncpg.Connection) -> None:
    """One migration a database at a time; the lock goes with the session."""
    if not await session.fetchval("SELECT pg_try_advisory_lock($1, 0)", _LOCK_SPACE):
        raise StopError(Outcome.HELD, "another migration of this database is under way; wait until it is done")


async def keep_turn(session: asyncpg.Connection) -> None:
    """A pooler that gives each transaction another session has left the lock behind."""
    held = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted)"
    if not await session.fetchval(held):
        pooled = "the session is not ours alone; connect to PostgreSQL itself, not through a pooler of transactions"
        raise StopError(Outcome.NOT_BEGUN, pooled)


async def numbered(session: asyncpg.Connection, database: Database) -> int:
    """The transaction's number, which no other can get any more, a crash of the server included.

    A number of which nothing reached the disk is given anew after a crash; a later one that is flushed ends that.
    """
    transaction = int(await session.fetchval("SELECT pg_current_xact_id()::text"))
    other = await connect(database)
    try:
        await other.execute("SELECT pg_logical_emit_message(true, 'deploywatch', 'migration begun')")
    finally:
        await other.close()
    return transaction
