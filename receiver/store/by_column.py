"""Writes rows that come column by column, as a storm's alerts do: a dictionary a row costs more than the insert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from deploywatch.receiver.store.engine import combining
from deploywatch.receiver.store.writing import Known, TableInsert, write_columns


def upsert_columns(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert the rows, or overwrite those with the same primary key; no two of them have the same.

    UnfitError when a value cannot be stored.
    """
    if connection.dialect.name == "sqlite":
        write_columns(connection, table, columns, Known.REPLACED)
    else:
        combining.insert_columns(connection, TableInsert(table, Known.REPLACED, tuple(columns)), columns)
