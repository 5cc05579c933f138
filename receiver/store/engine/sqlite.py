"""SQLite: one thread writes, a few read beside it, and nobody else may read the file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from deploywatch.receiver.store.engine import unit_of_work
from deploywatch.receiver.store.engine.backend import CHANGES, JSON_CODEC, T, Work, as_store_error, told
from deploywatch.receiver.store.engine.group_commit import GroupCommit
from deploywatch.receiver.store.errors import StoreError

# SQLite has one writer; readers see the state before it, and do not wait.
_READERS = 4
_ONE_MAKES_IT = threading.Lock()
_PRAGMAS = (
    "journal_mode=WAL",
    # With NORMAL, a power cut loses what was committed last, which Alertmanager has been told is stored.
    "synchronous=FULL",
    "foreign_keys=ON",
    # A backup or `sqlite3` in another process may hold the file for a moment.
    "busy_timeout=5000",
    "cache_size=-16000",  # 16 MB
    "wal_autocheckpoint=4000",  # pages: 16 MB, so that a storm does not copy the log back every few commits
)


class Sqlite:
    """WAL mode with full sync; one thread writes, so that a transaction is one trip from the event loop, not ten."""

    def __init__(self, url: URL) -> None:
        url = url.set(drivername="sqlite+pysqlite")
        # IMMEDIATE: a transaction that begins by reading could not become a writer while another one writes.
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
        await self.read(lambda connection: connection.exec_driver_sql(CHANGES).scalar_one())  # it can be read
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
        raise as_store_error(error) from error


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
    engine = create_engine(url, pool_size=connections, max_overflow=0, connect_args=unbound, **JSON_CODEC)

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
