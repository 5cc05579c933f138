"""The store: SQLite by default, PostgreSQL for several replicas; one transaction at a time is one function."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Dialect, Table, event, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from deploywatch.errors import DeploywatchError

T = TypeVar("T")
Row = Mapping[str, Any]

# Labels and annotations of every alert go through these.
_JSON: dict[str, Any] = {
    "json_serializer": lambda value: msgspec.json.encode(value).decode(),
    "json_deserializer": msgspec.json.decode,
}
_MIGRATIONS = Path(__file__).parent / "migrations"


class StoreError(DeploywatchError):
    """The database could not be read or written just now; the same call may succeed later."""

    exit_code = 1


class UnfitError(DeploywatchError):
    """What was to be written cannot be stored, now or later."""


class Store:
    """Runs functions of a Connection, each in one transaction; a write returns when it is safe on the disk.

    SQLite runs in WAL mode with full sync and one writer, and belongs to one process: `open` takes a lock file.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.file = Path(parsed.database) if self.is_sqlite and parsed.database else None
        self._lock_file: int | None = None
        self._writing = asyncio.Lock()
        if self.is_sqlite:
            self._writer = _sqlite_engine(parsed.set(drivername="sqlite+aiosqlite"), "BEGIN IMMEDIATE", connections=1)
            self._reader = _sqlite_engine(parsed.set(drivername="sqlite+aiosqlite"), "BEGIN", connections=4)
        else:
            self._writer = create_async_engine(parsed.set(drivername="postgresql+asyncpg"), pool_size=8, **_JSON)
            self._reader = self._writer

    async def open(self) -> None:
        """Take the lock, bring the schema up to date; StoreError says why when that is not possible."""
        if self.file is not None:
            self._take_lock(self.file)
        await self.write(_migrate)

    async def close(self) -> None:
        """Give up every connection and the lock."""
        await self._writer.dispose()
        await self._reader.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and commit; StoreError, and nothing written, when the database fails.

        UnfitError when the database works but will never take these values.
        """
        if not self.is_sqlite:
            return await self._run(self._writer, work)
        async with self._writing:
            return await self._run(self._writer, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a consistent view; what it writes is an error on SQLite's side of things: use `write`."""
        return await self._run(self._reader, work)

    async def _run(self, engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        except DBAPIError as error:
            kind = UnfitError if _unfit(error) else StoreError
            raise kind(f"the database failed: {error.orig}") from error
        except StatementError as error:
            raise UnfitError(f"a value cannot be stored: {error.orig}") from error
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(f"the database failed: {error}") from error

    def _take_lock(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{file} is in use by another receiver; for several replicas use PostgreSQL") from error
        except OSError as error:
            raise StoreError(f"{file} cannot be opened: {error.strerror}") from error


def _unfit(error: DBAPIError) -> bool:
    """Whether the values are at fault: SQLSTATE class 22 is PostgreSQL's "data exception", ValueError its driver's."""
    state = getattr(error.orig, "sqlstate", None) or ""
    cause = error.orig.__cause__ if error.orig else None
    return isinstance(error, DataError) or state.startswith("22") or isinstance(cause, ValueError)


def insert_id(connection: Connection, table: Table, values: Row) -> int:
    """Insert one row and return its number."""
    return int(connection.execute(insert(table).values(**values)).inserted_primary_key[0])  # type: ignore[index] # a table with an id


def insert_new(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert the rows that break no uniqueness; the others are there already and stay as they are."""
    rows = list(rows)
    if rows:
        connection.execute(_insert(connection.dialect, table).on_conflict_do_nothing(), rows)


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows, or overwrite those with the same primary key; every row has the same columns.

    The values are bound here and not by SQLAlchemy, row by row, which in a storm of alerts costs more than the rest.
    """
    if rows:
        text, columns = _upsert_statement(connection.dialect, table, tuple(rows[0]))
        try:
            values = [tuple(bind(row[name]) if bind else row[name] for name, bind in columns) for row in rows]
        except (ValueError, OverflowError) as error:
            raise UnfitError(f"a value cannot be stored: {error}") from error
        connection.exec_driver_sql(text, values)


@lru_cache(maxsize=64)
def _upsert_statement(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> tuple[str, list[tuple[str, Any]]]:
    """The SQL text, and in the order of its parameters each column with what makes a value fit for the driver."""
    keys = [column.name for column in table.primary_key]
    statement = _insert(dialect, table)
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    compiled = statement.compile(dialect=dialect, column_keys=list(columns))
    order = compiled.positiontup or ()
    return str(compiled), [(name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order]


def _insert(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if dialect.name == "sqlite" else postgresql.insert(table)


def _sqlite_engine(url: Any, begin: str, *, connections: int) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=connections, max_overflow=0, **_JSON)

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _migrate(connection: Connection) -> None:
    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
