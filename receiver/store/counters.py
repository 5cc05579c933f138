"""Counters kept in the store: exact, the same for every replica, and no smaller when what they counted is pruned."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from deploywatch.receiver.store.schema import counters
from deploywatch.receiver.store.writing import Known, insert_later

_SEPARATOR = "\x1f"  # cannot be in a label
_VALUE = select(counters.c.value).where(counters.c.name == bindparam("which"), counters.c.labels == "")


def add(connection: Connection, name: str, *labels: str, by: float = 1) -> None:
    """Add to a counter, in the transaction that does what is counted."""
    row = {"name": name, "labels": _SEPARATOR.join(labels), "value": by}
    insert_later(connection, counters, [row], Known.ADDED)


def read(connection: Connection, name: str) -> dict[tuple[str, ...], float]:
    """Every value of a counter, by its labels' values."""
    rows = connection.execute(select(counters.c.labels, counters.c.value).where(counters.c.name == name))
    return {tuple(labels.split(_SEPARATOR)): value for labels, value in rows}


def value(connection: Connection, name: str) -> float:
    """The value of a counter that has no labels; 0 before anything was counted."""
    return connection.execute(_VALUE, {"which": name}).scalar() or 0.0
