"""Inserts rows of several tables in one statement, so that on PostgreSQL they are one trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import JSON, BigInteger, Boolean, Connection, Float, Integer, LargeBinary, SmallInteger
from sqlalchemy.types import TypeEngine

from deploywatch.receiver.store.columns import Moment
from deploywatch.receiver.store.engine import unit_of_work
from deploywatch.receiver.store.errors import UnfitError
from deploywatch.receiver.store.writing import Known, Row, TableInsert, as_json

# The first that fits counts: SmallInteger and BigInteger are Integers to SQLAlchemy.
_TYPES: Final[tuple[tuple[type[TypeEngine[Any]], str], ...]] = (
    (Moment, "timestamptz"),
    (JSON, "json"),
    (Boolean, "boolean"),
    (SmallInteger, "smallint"),
    (BigInteger, "bigint"),
    (Integer, "integer"),
    (Float, "double precision"),
)
_CONFLICTS: Final = {Known.REFUSED: "", Known.KEPT: " ON CONFLICT DO NOTHING"}


def insert_all(connection: Connection, waiting: Sequence[Sequence[unit_of_work.Kind]]) -> None:
    """Insert what waits for several tables, as much of it as possible at once."""
    together: list[tuple[TableInsert, Sequence[Row]]] = []
    for kinds in waiting:
        (insert, rows), *more = kinds
        if not more and isinstance(insert, TableInsert) and _fits(insert):
            together.append((insert, rows))
        else:
            # Rows of several kinds for one table have an order between them, which one statement would not keep.
            unit_of_work.insert_each(connection, [kinds])
    if together:
        _insert_together(connection, together)


def _fits(insert: TableInsert) -> bool:
    """Whether its rows can be inserted with others: bytes, which JSON cannot say, are not."""
    return not any(isinstance(insert.table.c[name].type, LargeBinary) for name in insert.names)


def _insert_together(connection: Connection, waiting: Sequence[tuple[TableInsert, Sequence[Row]]]) -> None:
    """Insert the rows of several tables in one statement; UnfitError when a value cannot be stored."""
    try:
        values = tuple(msgspec.json.encode(insert.newest(rows)).decode() for insert, rows in waiting)
    except (ValueError, OverflowError, TypeError) as error:
        raise UnfitError(f"a value cannot be stored: {error}") from error
    connection.exec_driver_sql(_statement(tuple(insert for insert, _ in waiting)), values)


@lru_cache(maxsize=256)
def _statement(inserts: tuple[TableInsert, ...]) -> str:
    parts = [_insert(insert, number) for number, insert in enumerate(inserts, start=1)]
    others = ", ".join(f"part{number} AS ({part})" for number, part in enumerate(parts[:-1], start=1))
    return f"WITH {others} {parts[-1]}" if others else parts[-1]


# JSON in one parameter, since a protocol message holds at most 65,535 of them.
def _insert(insert: TableInsert, number: int) -> str:
    """An INSERT of rows that come as one JSON array, in their order."""
    table = insert.table
    columns = [(table.c[name].name, _type(table.c[name].type)) for name in insert.names]
    keys = zip(insert.names, columns, strict=True)
    fields = ", ".join(f'"{name}" {kind}' for name, (_, kind) in keys)
    given = ", ".join(f'"{name}"' for name in insert.names)
    into = ", ".join(f'"{name}"' for name, _ in columns)
    return (
        f"INSERT INTO {table.name} ({into}) SELECT {given} "  # noqa: S608 - every name is of our schema
        f"FROM json_to_recordset(${number}::json) AS row ({fields}){_conflict(insert)}"
    )


def insert_columns(connection: Connection, insert: TableInsert, columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert rows that come column by column: one trip, and one execution for all of them; no two have the same key."""
    values = tuple(_array(insert.table.c[name].type, columns[name]) for name in insert.names)
    connection.exec_driver_sql(_from_columns(insert), values)


def _array(kind: TypeEngine[Any], values: Sequence[Any]) -> list[Any]:
    """A column as the driver takes it, which takes a string for any text; UnfitError when it would not."""
    try:
        return list(map(as_json, values) if isinstance(kind, JSON) else values)
    except (ValueError, OverflowError, TypeError) as error:
        raise UnfitError(f"a value cannot be stored: {error}") from error


@lru_cache(maxsize=16)
def _from_columns(insert: TableInsert) -> str:
    table, numbered = insert.table, range(1, len(insert.names) + 1)
    columns = [table.c[name] for name in insert.names]
    into = ", ".join(f'"{column.name}"' for column in columns)
    kinds = list(zip(numbered, (_type(column.type) for column in columns), strict=True))
    arrays = ", ".join(f"${number}::{'text' if kind == 'json' else kind}[]" for number, kind in kinds)
    values = ", ".join(f"c{number}{'::json' if kind == 'json' else ''}" for number, kind in kinds)
    names = ", ".join(f"c{number}" for number in numbered)
    return (
        f"INSERT INTO {table.name} ({into}) SELECT {values} "  # noqa: S608 - every name is of our schema
        f"FROM unnest({arrays}) AS row ({names}){_conflict(insert)}"
    )


def _conflict(insert: TableInsert) -> str:
    if insert.known in _CONFLICTS:
        return _CONFLICTS[insert.known]
    keys = [column.name for column in insert.table.primary_key]
    names = [insert.table.c[name].name for name in insert.names]
    if insert.known is Known.ADDED:
        changed = f"value = {insert.table.name}.value + excluded.value"
    else:
        changed = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
    return f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"


def _type(kind: TypeEngine[Any]) -> str:
    return next((name for python, name in _TYPES if isinstance(kind, python)), "text")
