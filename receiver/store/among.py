"""Rows whose column has one of many values: one statement that is always the same, however many values there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Connection, Select, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

_VALUES: Final = "values"

ByDialect = Mapping[str, Select[Any]]
"""A query for each database that there may be."""


def among(query: Select[Any], column: Column[str]) -> ByDialect:
    """The query for rows of which a text is one of those that `rows` is given.

    A list in brackets would be another statement for each length, which takes longer to put together than to answer.
    """
    each = func.json_each(bindparam(_VALUES, type_=Text)).table_valued("value")
    # `= ANY(…)` of many values is planned as a look at every row, which compares each value.
    listed = select(func.unnest(bindparam(_VALUES, type_=ARRAY(Text))))
    return {"sqlite": query.where(column.in_(select(each.c.value))), "postgresql": query.where(column.in_(listed))}


def rows(connection: Connection, queries: ByDialect, values: Iterable[str]) -> Any:
    """The rows with these texts; nothing is asked for none."""
    given = sorted(set(values))
    if not given:
        return ()
    dialect = connection.dialect.name
    parameter = msgspec.json.encode(given).decode() if dialect == "sqlite" else given
    return connection.execute(queries[dialect], {_VALUES: parameter})
