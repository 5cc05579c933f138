"""Writing rows on both stores: what is new, what replaces, and many at once without waste."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from receiver.store.backends import UnfitError
from receiver.store.schema import Moment

Row = Mapping[str, Any]
_AT_ONCE = 1000
"""Rows that are written at the same time: a hundred thousand would need hundreds of megabytes."""
_MOMENT_LENGTH = len("2026-05-01 12:00:00.000000")


def insert_id(connection: Connection, table: Table, values: Row) -> int:
    """Insert one row and return its number."""
    return int(connection.execute(insert(table).values(**values)).inserted_primary_key[0])  # type: ignore[index] # a table with an id


def insert_new(connection: Connection, table: Table, rows: Iterable[Row]) -> int:
    """Insert the rows that break no uniqueness; the others are there already and stay as they are.

    How many were new comes back.
    """
    statement = _insert(connection.dialect, table).on_conflict_do_nothing()
    return sum(connection.execute(statement, row).rowcount for row in rows)


def insert_all(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert the rows; every one has the same columns."""
    _write(connection, table, rows, replace=False)


def upsert(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert the rows, or overwrite those with the same primary key; every row has the same columns."""
    _write(connection, table, rows, replace=True)


def _write(connection: Connection, table: Table, rows: Iterable[Row], *, replace: bool) -> None:
    """The values are bound here, column by column; SQLAlchemy, row by row, takes longer than the database."""
    coming = iter(rows)
    while some := list(islice(coming, _AT_ONCE)):
        text, columns = _statement(connection.dialect, table, tuple(some[0]), replace=replace)
        try:
            bound = [map(bind, map(itemgetter(name), some)) for name, bind in columns]
            values = list(zip(*bound, strict=True))
        except (ValueError, OverflowError) as error:
            raise UnfitError(f"a value cannot be stored: {error}") from error
        connection.exec_driver_sql(text, values)


@lru_cache(maxsize=64)
def _statement(
    dialect: Dialect, table: Table, names: tuple[str, ...], *, replace: bool
) -> tuple[str, list[tuple[str, Callable[[Any], Any]]]]:
    """The SQL text, and in the order of its parameters each column with what makes a value fit for the driver."""
    keys = [column.name for column in table.primary_key]
    statement = _insert(dialect, table).inline()
    if replace:
        changed = {name: statement.excluded[name] for name in names if name not in keys}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    return str(compiled), [(name, _binder(dialect, table.c[name].type)) for name in compiled.positiontup or ()]


def _binder(dialect: Dialect, kind: TypeEngine[Any]) -> Callable[[Any], Any]:
    if isinstance(kind, Moment) and dialect.name == "sqlite":
        return _moment
    return kind.dialect_impl(dialect).bind_processor(dialect) or _as_it_is


@lru_cache(maxsize=1024)
def _moment(value: datetime | None) -> str | None:
    """The text that SQLAlchemy gives SQLite for a time, at a fifth of the cost."""
    return value.astimezone(UTC).isoformat(" ", "microseconds")[:_MOMENT_LENGTH] if value else None


def _as_it_is(value: Any) -> Any:
    return value


def _insert(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if dialect.name == "sqlite" else postgresql.insert(table)
