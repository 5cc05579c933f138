"""PostgreSQL: each function of a Connection runs in one transaction, off the event loop's back."""

from __future__ import annotations

import contextlib

import asyncpg
from sqlalchemy import URL, Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from deploywatch.receiver.store.engine import combining, unit_of_work
from deploywatch.receiver.store.engine.backend import CHANGES, JSON_CODEC, T, Work, as_store_error, failure, told
from deploywatch.receiver.store.engine.group_commit import GroupCommit
from deploywatch.receiver.store.errors import StoreError

# PostgreSQL has 100 by default, for all replicas and everybody else.
_CONNECTIONS = 8
# A PostgreSQL that takes longer to connect counts as gone, and the webhook is answered with 503.
_ANSWER_SECONDS = 10
_ONE_AT_A_TIME = 0x1DE9  # any number that nobody else locks in this database
_SERVER_SETTINGS = {
    "application_name": "deploywatch",
    # A replica that is paused in the middle of a transaction loses it, so that the others can go on.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "20s",
    "statement_timeout": "60s",
}
# Counted with the commit, in the same trip.
_COUNT = "UPDATE changes SET number = number + 1"


class Postgres:
    """Several replicas may share it."""

    def __init__(self, url: URL) -> None:
        url = url.set(drivername="postgresql+asyncpg")
        connect = {"server_settings": _SERVER_SETTINGS, "timeout": _ANSWER_SECONDS}
        # A read needs no transaction, as each of its statements sees the state at its own time; a write says BEGIN.
        self._engine = create_async_engine(
            url,
            pool_size=_CONNECTIONS,
            pool_use_lifo=True,  # the connection that was used last has the statements prepared
            connect_args=connect,
            isolation_level="AUTOCOMMIT",
            **JSON_CODEC,
        )
        unit_of_work.watch(self._engine.sync_engine)
        self._together = GroupCommit(
            lambda work: self._run(lambda connection: _alone(connection, work, counts=self._counts)),
            told,
            combining.insert_all,
        )
        self._counts = False

    async def write(self, work: Work[T]) -> T:
        """Run the function in a transaction; those of all replicas wait for each other, as SQLite's do.

        So what one replica decides from what it read still holds when it writes.
        """
        return await self._together.write(work)

    async def read(self, work: Work[T]) -> T:
        """Run the function beside the writers."""
        return await self._run(lambda connection: unit_of_work.run(connection, work))

    def opened(self) -> None:
        """The schema is the one of this version: what changes is counted from now on."""
        self._counts = True

    async def changes(self) -> str:
        """The row that each replica counts up."""
        return str(await self.read(lambda connection: connection.exec_driver_sql(CHANGES).scalar_one()))

    async def _run(self, work: Work[T]) -> T:
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)
        except (SQLAlchemyError, OSError) as error:
            raise as_store_error(error) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise failure(error) from error

    async def close(self) -> None:
        """Finish what is being written, and close every connection."""
        await self._together.end()
        await self._engine.dispose()


def _alone(connection: Connection, work: Work[T], *, counts: bool) -> T:
    """Run the work in a transaction that waits for all others; its beginning is one trip to the database."""
    unit_of_work.take_changed(connection)
    # In one message; the lock ends with the transaction, whatever becomes of us.
    _send(connection, f"BEGIN; SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
    try:
        result = work(connection)
    except Exception:
        _give_up(connection)
        raise
    except BaseException:
        connection.invalidate()
        raise
    changed = unit_of_work.take_changed(connection)
    ended = _send(connection, f"{_COUNT}; COMMIT" if changed and counts else "COMMIT")
    if ended != "COMMIT":  # PostgreSQL answers ROLLBACK, and no error, where a statement had failed
        raise StoreError(f"the database answered {ended} to COMMIT: nothing of the transaction is stored")
    return result


def _send(connection: Connection, statements: str) -> str:
    """Send statements that return nothing; the tag of the last one comes back."""
    try:
        return str(connection.connection.run_async(lambda raw: raw.execute(statements)))
    except BaseException:
        connection.invalidate()  # nobody knows in which state it is
        raise


def _give_up(connection: Connection) -> None:
    if connection.invalidated:
        return
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        _send(connection, "ROLLBACK")
