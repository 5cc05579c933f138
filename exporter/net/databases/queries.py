"""Gauges and counters from SQL: a query, the columns that are numbers, and the others as PostgreSQL writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import Field

from deploywatch.exporter.measure.gauges import Gauge, is_label, number
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Dropped, Failed, Family, Reason

_VALUE = "value"
# What becomes a number in the base unit: Unix time, or seconds.
_MOMENTS = frozenset({"timestamp", "timestamptz", "date", "time", "timetz", "interval"})
# These lose something when they are cast to text; format() writes them as psql shows them.
_PLAIN = frozenset({"text", "varchar", "name", "int2", "int4", "int8", "oid", "uuid", "bool", "void"})
"""Types that Python writes as PostgreSQL does, so that the query can go out as it is written."""

# What may stand after a statement: semicolons, and a comment that they end before.
_END = re.compile(r";(?:\s|;|--[^\n]*(?:\n|$))*$")
_BY_FORMAT = frozenset({"inet"})


class Query(Gauge):
    """A query that gives a gauge: the column `value` (or the only one) is the number, the others are its labels.

    With `values`, each of these columns is the number of a gauge of its own, named after the query and the column.
    """

    sql: str = Field(min_length=1)
    values: tuple[str, ...] = ()
    max_rows: int = Field(default=100, ge=1, le=10_000)

    def gauges(self, name: str) -> dict[str, Family]:
        """The metrics by column; of a query without `values` the one that it gives, by the column `value`."""
        if not self.values:
            return {_VALUE: self.family(name)}
        return {column: self.family(_joined(name, column)) for column in self.values}


def _joined(name: str, column: str) -> str:
    """`shop_total` and `orders` are `shop_orders_total`: a counter's ending stays at its end."""
    stem = name.removesuffix("_total")
    return f"{stem}_{column}" + ("_total" if stem != name and not column.endswith("_total") else "")


async def _fetched(statement: Any, name: str, most: int) -> list[Any]:
    cursor = await statement.cursor()
    # One more than may be: that there are more shows without having them sent.
    rows: list[Any] = await cursor.fetch(most + 1)
    if len(rows) > most:
        # All of them are counted on the server, and none more is sent.
        more = await cursor.forward(2**31 - 1)
        raise Failed(Reason.TOO_LARGE, f"query {name} gives {len(rows) + more} rows, more than max_rows, {most}")
    return rows


async def rows_of(connection: Any, name: str, query: Query, gauges: Mapping[str, Family]) -> list[dict[str, Any]]:
    """The rows of a query, the columns that are labels as text; Failed(too_large) with how many there are.

    Of a query without labels that gives no row, it is one of NULLs: nothing was found where one number was asked for.
    """
    # Unnamed: poolers in transaction mode, such as PgBouncer, keep no named statements.
    statement = await connection.prepare(query.sql, name="")
    columns = [(attribute.name, attribute.type.name) for attribute in statement.get_attributes()]
    numbers = _number_columns(name, [column for column, _ in columns], gauges)
    asked = _as_text(query.sql, columns, numbers)
    if asked:
        statement = await connection.prepare(asked, name="")
    rows = await _fetched(statement, name, query.max_rows)
    names = [column for column, _ in columns]
    # `SELECT max(…)` gives a row with NULL, `SELECT … WHERE` none: for one number both mean that there is nothing.
    if not rows and not set(names) - numbers:
        return [dict.fromkeys(names)]
    return [dict(zip(names, row.values(), strict=True)) for row in rows]


def _number_columns(name: str, columns: Sequence[str], gauges: Mapping[str, Family]) -> frozenset[str]:
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise Failed(Reason.QUERY, f"query {name}: the column {twice} is there twice; name one of them with AS")
    if list(gauges) == [_VALUE] and len(columns) == 1:
        return frozenset(columns)
    if missing := gauges.keys() - set(columns):
        raise Failed(Reason.QUERY, f"query {name} gives no column {min(missing)}; name one so with AS")
    for column in columns:
        if column not in gauges and not is_label(column):
            raise Failed(Reason.QUERY, f"query {name}: the column {column} cannot be a label; rename it with AS")
    return frozenset(gauges)


def _as_text(sql: str, columns: Sequence[tuple[str, str]], numbers: frozenset[str]) -> str | None:
    """The query with its labels as text and its moments as numbers; None where nothing has to be changed."""
    shown = [_expression(f"c{place}", kind, column in numbers) for place, (column, kind) in enumerate(columns)]
    names = ", ".join(f"c{place}" for place in range(len(columns)))
    if ", ".join(shown) == names:
        return None
    # The end of line is for a comment at the end of the query.
    return f"SELECT {', '.join(shown)} FROM ({_END.sub('', sql)}\n) AS asked ({names})"  # noqa: S608


def _expression(column: str, kind: str, number: bool) -> str:
    if number:
        if kind in _MOMENTS:
            return f"extract(epoch FROM {column})"
        return f"{column}::numeric" if kind == "money" else column
    if kind in _PLAIN:
        return column
    return f"format('%s', {column})" if kind in _BY_FORMAT else f"{column}::text"


def note_rows(
    rows: Sequence[Mapping[str, Any]], name: str, gauges: Mapping[str, Family], measurement: Measurement
) -> None:
    """Add the numbers of a query's rows, with their other columns as labels; Failed(value) where two rows are one."""
    samples: dict[tuple[Family, tuple[tuple[str, str], ...]], float] = {}
    for row in rows:
        only = len(row) == 1 and list(gauges) == [_VALUE]
        numbers = {_VALUE: next(iter(row.values()))} if only else {column: row[column] for column in gauges}
        labels = (
            {}
            if only
            else {column: measurement.label(_text(cell)) for column, cell in row.items() if column not in gauges}
        )
        for column, family in gauges.items():
            value = _number(numbers[column], name, family, measurement)
            if value is None:
                continue
            series = (family, tuple(labels.items()))
            if series in samples:
                shown = ", ".join(f'{label}="{text}"' for label, text in labels.items())
                raise Failed(
                    Reason.VALUE,
                    f"query {name} gives more than one row for {{{shown}}}; make its labels tell them apart",
                )
            samples[series] = value
    for (family, pairs), value in samples.items():
        measurement.add(family, value, **dict(pairs))


def _text(cell: Any) -> str:
    """A label; NULL is the empty one."""
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _number(cell: Any, name: str, family: Family, measurement: Measurement) -> float | None:
    """The cell as a number; NULL is none, but the 0 of a counter: nothing was counted yet."""
    if cell is None:
        if family.type == "counter":
            return 0.0
        measurement.dropped[Dropped.NULL_VALUE] += 1
        return None
    given = number(cell) if isinstance(cell, (int, float, Decimal, str)) else None
    if given is None:
        shown = cell if isinstance(cell, (float, Decimal)) else type(cell).__name__
        raise Failed(Reason.VALUE, f"query {name} gives {shown}, not a number")
    if family.type == "counter" and not 0 <= given < math.inf:
        raise Failed(Reason.VALUE, f"query {name} gives {given:g}, and a counter is a number from 0 up")
    return given
