"""The two databases: each runs a function of a Connection in one transaction, off the event loop's back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import create_async_engine

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.store.engine import combining, unit_of_work
from deploywatch.receiver.store.engine.group_commit import GroupCommit
from deploywatch.receiver.store.errors import StoreError, UnfitError

T = TypeVar("T")
Work = Callable[[Connection], T]

# Labels and annotations of every alert go through these.
_JSON: dict[str, Any] = {
    "json_serializer": lambda value: msgspec.json.encode(value).decode(),
    "json_deserializer": msgspec.json.decode,
}
# PostgreSQL has 100 by default, for all replicas and everybody else.
_CONNECTIONS = 8
# SQLite has one writer; readers see the state before it, and do not wait.
_READERS = 4
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
_CHANGES = "SELECT number FROM changes"
_ONE_MAKES_IT = threading.Lock()
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=5000",
    "cache_size=-16000",  # 16 MB
    "wal_autocheckpoint=4000",  # pages: 16 MB, so that a storm does not copy the log back every few commits
)


class Backend(Protocol):
    """One database."""

    async def write(self, work: Work[T]) -> T:
        """Run the function in a transaction and commit it to the disk."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run the function on a consistent view."""
        ...

    def opened(self) -> None:
        """The schema is the one of this version."""
        ...

    async def changes(self) -> str:
        """A text that differs once what pages show has changed, by any replica."""
        ...

    async def close(self) -> None:
        """Give up every connection."""
        ...


class Sqlite:
    """WAL mode with full sync; one thread writes, so that a transaction is one trip from the event loop, not ten."""

    def __init__(self, url: URL) -> None:
        url = url.set(drivername="sqlite+pysqlite")
        self._writer = _sqlite_engine(url, "BEGIN IMMEDIATE", connections=1)
        self._reader = _sqlite_engine(url, "BEGIN", "query_only=ON", connections=_READERS)
        self._writing = ThreadPoolExecutor(1, "store-write")
        self._reading = ThreadPoolExecutor(_READERS, "store-read")
        self._together = GroupCommit(self._commit, told)
        self._run, self._changes = uuid.uuid4().hex[:8], 0

    async def write(self, work: Work[T]) -> T:
        """Run the function in a transaction, with those that wait at the same time; in their order."""
        return await self._together.write(work)

    async def read(self, work: Work[T]) -> T:
        """Run the function beside the writer."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, _read, self._reader, work)

    def opened(self) -> None:
        """What changes is counted anyway."""

    async def changes(self) -> str:
        """Counted in memory: the file belongs to this process alone, which has a number of its own."""
        await self.read(lambda connection: connection.exec_driver_sql(_CHANGES).scalar_one())  # it can be read
        return f"{self._run}-{self._changes}"

    async def _commit(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, self._counted, work)

    def _counted(self, work: Work[T]) -> T:
        """Run the work in a transaction; once it is committed, count it where it may change a page."""
        changed = False

        def noted(connection: Connection) -> T:
            nonlocal changed
            unit_of_work.take_changed(connection)
            result = work(connection)
            changed = unit_of_work.take_changed(connection)
            return result

        result = _transaction(self._writer, noted)
        self._changes += changed
        return result

    async def close(self) -> None:
        """Finish what is running, and close."""
        await self._together.end()
        await asyncio.to_thread(self._writing.shutdown)
        await asyncio.to_thread(self._reading.shutdown)
        self._writer.dispose()
        self._reader.dispose()


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
            **_JSON,
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
        return str(await self.read(lambda connection: connection.exec_driver_sql(_CHANGES).scalar_one()))

    async def _run(self, work: Work[T]) -> T:
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)
        except (SQLAlchemyError, OSError) as error:
            raise _translated(error) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise _failed(error) from error

    async def close(self) -> None:
        """Finish what is being written, and close every connection."""
        await self._together.end()
        await self._engine.dispose()


def _alone(connection: Connection, work: Work[T], *, counts: bool) -> T:
    """Run the work in a transaction that waits for all others; its beginning is one trip to the database."""
    unit_of_work.take_changed(connection)
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


def _read(engine: Engine, work: Work[T]) -> T:
    return _transaction(engine, lambda connection: unit_of_work.run(connection, work))


def _transaction(engine: Engine, work: Work[T]) -> T:
    try:
        with engine.begin() as connection:
            result = work(connection)
            # SQLite ends it by itself on a full disk; its driver then takes a commit of nothing for a success.
            if not getattr(connection.connection.dbapi_connection, "in_transaction", False):
                raise StoreError("the database ended the transaction by itself: nothing of it is stored")
            return result
    except (SQLAlchemyError, OSError) as error:
        raise _translated(error) from error


def told(error: Exception) -> Exception:
    """What a caller is told of an error of its own work."""
    if not isinstance(error, SQLAlchemyError | OSError):
        return error
    translated = _translated(error)
    translated.__cause__ = error
    return translated


def _translated(error: SQLAlchemyError | OSError) -> DeploywatchError:
    """Trouble that may pass is a StoreError, values that will never fit are an UnfitError."""
    if isinstance(error, DBAPIError):
        return (UnfitError if _unfit(error) else StoreError)(f"the database failed: {error.orig}")
    if isinstance(error, StatementError):
        return UnfitError(f"a value cannot be stored: {error.orig}")
    return _failed(error)


def _failed(error: Exception) -> StoreError:
    """What went wrong in words: some errors, such as a timeout, have none of their own."""
    return StoreError(f"the database failed: {str(error) or type(error).__name__}")


def _unfit(error: DBAPIError) -> bool:
    """Whether the values are at fault: SQLSTATE class 22 is PostgreSQL's "data exception", ValueError its driver's."""
    state = getattr(error.orig, "sqlstate", None) or ""
    cause = error.orig.__cause__ if error.orig else None
    return isinstance(error, DataError) or state.startswith("22") or isinstance(cause, ValueError)


def _private(file: Path) -> None:
    """Let nobody else read what alerts and people say; SQLite gives `-wal` and `-shm` the file's own mode.

    A file that is there is not opened: closing it would give up the locks that SQLite holds on it in this process
    (https://sqlite.org/howtocorrupt.html, 2.2), and whoever looks at the store from outside would delete its log.
    """
    with contextlib.suppress(OSError), _ONE_MAKES_IT:  # where the file cannot be made, opening it says why
        with contextlib.suppress(FileExistsError):
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        for part in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            if part.exists() and part.stat().st_mode & 0o077:
                part.chmod(0o600)


def _sqlite_engine(url: URL, begin: str, *more: str, connections: int) -> Engine:
    unbound = {"check_same_thread": False}  # a pool hands connections to one thread after another
    engine = create_engine(url, pool_size=connections, max_overflow=0, connect_args=unbound, **_JSON)

    @event.listens_for(engine, "do_connect")
    def before(*_: Any) -> None:
        if url.database and url.database != ":memory:":
            _private(Path(url.database))

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (*_PRAGMAS, *more):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    unit_of_work.watch(engine)

    return engine
