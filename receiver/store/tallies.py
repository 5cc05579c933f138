"""Counters kept in the store: exact, the same for every replica, and no smaller when what they counted is pruned."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from receiver.store.schema import tallies

_SEPARATOR = "\x1f"  # cannot be in a label


def add(connection: Connection, name: str, *labels: str, by: float = 1) -> None:
    """Add to a counter, in the transaction that does what is counted."""
    key = _SEPARATOR.join(labels)
    row = (tallies.c.name == name, tallies.c.labels == key)
    # Writers wait for each other, so that nobody comes between these two.
    if not connection.execute(update(tallies).where(*row).values(value=tallies.c.value + by)).rowcount:
        connection.execute(insert(tallies).values(name=name, labels=key, value=by))


def read(connection: Connection, name: str) -> dict[tuple[str, ...], float]:
    """Every value of a counter, by its labels' values."""
    rows = connection.execute(select(tallies.c.labels, tallies.c.value).where(tallies.c.name == name))
    return {tuple(labels.split(_SEPARATOR)): value for labels, value in rows}
