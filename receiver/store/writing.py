"""Writing rows on both stores: what is new, what replaces, and many at once without waste."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from receiver.store.backends import UnfitError

Row = Mapping[str, Any]
_AT_ONCE = 1000
"""Rows that are written at the same time: a hundred thousand would need hundreds of megabytes."""


def insert_id(connection: Connection, table: Table, values: Row) -> int:
    """Insert one row and return its number."""
    return int(connection.execute(insert(table).values(**values)).inserted_primary_key[0])  # type: ignore[index] # a table with an id


def insert_new(connection: Connection, table: Table, rows: Iterable[Row]) -> int:
    """Insert the rows that break no uniqueness; the others are there already and stay as they are.

    How many were new comes back.
    """
    statement = _insert(connection.dialect, table).on_conflict_do_nothing()
    return sum(connection.execute(statement, row).rowcount for row in rows)


def upsert(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert the rows, or overwrite those with the same primary key; every row has the same columns.

    The values are bound here and not by SQLAlchemy, row by row, which in a storm of alerts costs more than the rest.
    """
    coming = iter(rows)
    while some := list(islice(coming, _AT_ONCE)):
        text, columns = _upsert_statement(connection.dialect, table, tuple(some[0]))
        try:
            values = [tuple(bind(row[name]) if bind else row[name] for name, bind in columns) for row in some]
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
