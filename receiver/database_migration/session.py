"""A session with the database: made, asked, rolled back and closed, whatever happens to it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import asyncpg

from deploywatch.receiver.database_migration.expectation import number
from deploywatch.receiver.database_migration.outcome import (
    LOST,
    FailedError,
    error_words,
)
from deploywatch.receiver.database_migration.plan import Database, Validation
from deploywatch.secrets import with_password

_CONNECT = 10.0


async def connect(database: Database) -> asyncpg.Connection:
    url = database.dsn.get_secret_value()
    if database.password:
        url = with_password(url, database.password.get_secret_value())
    return await asyncpg.connect(url, timeout=_CONNECT, server_settings={"application_name": "deploywatch migrate"})


async def close_session(session: asyncpg.Connection) -> None:
    try:
        await session.close(timeout=_CONNECT)
    except LOST:
        session.terminate()


async def roll_back(session: asyncpg.Connection) -> None:
    try:
        await session.execute("ROLLBACK", timeout=_CONNECT)
    except (*LOST, asyncpg.PostgresError):
        session.terminate()


async def validated_value(session: asyncpg.Connection, validation: Validation) -> Decimal:
    try:
        return number([tuple(row) for row in await session.fetch(validation.sql)])
    except LOST:
        raise
    except (ValueError, asyncpg.PostgresError) as error:
        raise FailedError(f"validation {validation.name!r}: {error_words(error)}") from error


async def invalid_indexes(session: asyncpg.Connection) -> str:
    """The invalid indexes that there are, with how to be rid of them."""
    sql = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"
    try:
        names = [row[0] for row in await session.fetch(sql)]
    except (*LOST, asyncpg.PostgresError):
        return "; whether an invalid index was left is not known"
    if not names:
        return ""
    remedy = "; ".join(f"DROP INDEX CONCURRENTLY {name}" for name in names)
    return f"; invalid indexes are there: {', '.join(names)}; before you try again: {remedy}"


def ms(duration: timedelta) -> int:
    return max(1, round(duration.total_seconds() * 1000))
