"""Writing rows on both stores: what is new, what replaces, and many at once without waste."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import JSON, Connection, Dialect, Insert, Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from deploywatch.receiver.store.columns import Moment
from deploywatch.receiver.store.engine import unit_of_work
from deploywatch.receiver.store.errors import UnfitError

Row = Mapping[str, Any]
Binder = Callable[[Any], Any]
# Rows that are bound at once: an import of any size takes the memory of so many.
AT_ONCE: Final = 1000
"""Rows that are written at the same time: a hundred thousand would need hundreds of megabytes."""
_JSON = msgspec.json.Encoder()
_MOMENT_LENGTH = len("2026-05-01 12:00:00.000000")


class Known(Enum):
    """What becomes of a row that is in the table already."""

    REFUSED = auto()
    KEPT = auto()
    REPLACED = auto()
    ADDED = auto()
    """Its column `value` is added to."""


def insert_id(connection: Connection, table: Table, values: Row) -> int:
    """Insert one row and return its number."""
    return int(connection.execute(_into(table), values).inserted_primary_key[0])  # type: ignore[index] # a table with an id


def insert_new(connection: Connection, table: Table, rows: Iterable[Row]) -> int:
    """Insert the rows that break no uniqueness; the others are there already and stay as they are.

    Every row has the same columns. How many were new comes back.
    """
    # One by one: of several rows at once not every driver counts how many were new.
    return sum(_write_one(connection, table, row) for row in rows)


def insert_all(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert the rows; every one has the same columns."""
    _write(connection, table, rows, Known.REFUSED)


def upsert(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert the rows, or overwrite those with the same primary key; every row has the same columns."""
    _write(connection, table, rows, Known.REPLACED)


def insert_later(connection: Connection, table: Table, rows: Sequence[Row], known: Known = Known.REFUSED) -> None:
    """Insert the rows together with others of their table, before this work ends or reads the table."""
    if rows:
        unit_of_work.insert_later(connection, table.name, rows, _later(table, known, tuple(rows[0])))


@lru_cache(maxsize=64)
def _later(table: Table, known: Known, names: tuple[str, ...]) -> TableInsert:
    """One for the rows of a table that have the same columns."""
    return TableInsert(table, known, names)


@dataclass(frozen=True, slots=True)
class TableInsert:
    """Inserts rows of a table that have these columns."""

    table: Table
    known: Known
    names: tuple[str, ...]

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert them."""
        _write(connection, self.table, self.newest(rows), self.known)

    def newest(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows that are to be inserted: of several that replace each other, the last; counts are added up."""
        if self.known in (Known.REFUSED, Known.KEPT):
            return rows
        # In one transaction a row may be put many times; what it is in the end has to reach the database, once.
        keys = [column.name for column in self.table.primary_key]
        by_key: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            key = tuple(row[name] for name in keys)
            before = by_key.get(key) if self.known is Known.ADDED else None
            by_key[key] = {**row, "value": row["value"] + before["value"]} if before else row
        return list(by_key.values())


def insert_into(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    """A statement of this database's, which knows what to do about conflicts."""
    return sqlite.insert(table) if dialect.name == "sqlite" else postgresql.insert(table)


def _write(connection: Connection, table: Table, rows: Iterable[Row], known: Known) -> None:
    """The values are bound here, column by column; SQLAlchemy, row by row, takes longer than the database."""
    coming = iter(rows)
    while some := list(islice(coming, AT_ONCE)):
        text, columns = _statement(connection.dialect, table, tuple(some[0]), known)
        connection.exec_driver_sql(text, _bound(columns, some))


def _write_one(connection: Connection, table: Table, row: Row) -> int:
    """How many rows that wrote: none, where the row is known."""
    text, columns = _statement(connection.dialect, table, tuple(row), Known.KEPT)
    return connection.exec_driver_sql(text, _bound(columns, [row])[0]).rowcount


def _bound(columns: Sequence[tuple[str, Binder]], rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """The rows' values as the driver takes them; UnfitError when it would not."""
    return _together([(bind, map(itemgetter(name), rows)) for name, bind in columns])


def write_columns(connection: Connection, table: Table, columns: Mapping[str, Iterable[Any]], known: Known) -> None:
    """Write rows that come column by column."""
    text, binders = _statement(connection.dialect, table, tuple(columns), known)
    connection.exec_driver_sql(text, _together([(bind, columns[name]) for name, bind in binders]))


def _together(columns: Sequence[tuple[Binder, Iterable[Any]]]) -> list[tuple[Any, ...]]:
    """The values of columns as rows that the driver takes; UnfitError when it would not."""
    try:
        return list(zip(*(_fit(bind, values) for bind, values in columns), strict=True))
    except (ValueError, OverflowError) as error:
        raise UnfitError(f"a value cannot be stored: {error}") from error


def _fit(bind: Binder, values: Iterable[Any]) -> Iterable[Any]:
    return values if bind is _as_it_is else map(bind, values)


@lru_cache
def _into(table: Table) -> Insert:
    return insert(table)


@lru_cache(maxsize=64)
def _statement(
    dialect: Dialect, table: Table, names: tuple[str, ...], known: Known
) -> tuple[str, list[tuple[str, Binder]]]:
    """The SQL text, and in the order of its parameters each column with what makes a value fit for the driver."""
    # Compiled once and kept: SQLAlchemy would go its whole way through the insert at each call.
    statement = on_conflict(insert_into(dialect, table).inline(), table, names, known)
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    return str(compiled), [(name, _binder(dialect, table.c[name].type)) for name in compiled.positiontup or ()]


def on_conflict(
    statement: sqlite.Insert | postgresql.Insert, table: Table, names: Iterable[str], known: Known
) -> sqlite.Insert | postgresql.Insert:
    """The statement with what it does about a row that is in the table already."""
    keys = [column.name for column in table.primary_key]
    if known is Known.KEPT:
        return statement.on_conflict_do_nothing()
    if known is Known.REPLACED:
        changed = {name: statement.excluded[name] for name in names if name not in keys}
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)
    if known is Known.ADDED:
        added = {"value": table.c.value + statement.excluded.value}
        return statement.on_conflict_do_update(index_elements=keys, set_=added)
    return statement


def _binder(dialect: Dialect, kind: TypeEngine[Any]) -> Binder:
    # By hand, as a moment stands in most rows, and often the same one in all rows of a transaction.
    if isinstance(kind, Moment) and dialect.name == "sqlite":
        return _moment
    if isinstance(kind, JSON):
        return as_json
    return kind.dialect_impl(dialect).bind_processor(dialect) or _as_it_is


@lru_cache(maxsize=1024)
def _moment(value: datetime | None) -> str | None:
    """The text that SQLAlchemy gives SQLite for a time, at a fifth of the cost."""
    return value.astimezone(UTC).isoformat(" ", "microseconds")[:_MOMENT_LENGTH] if value else None


def as_json(value: Any) -> str:
    """The JSON text of a value."""
    return _JSON.encode(value).decode()


def _as_it_is(value: Any) -> Any:
    return value
