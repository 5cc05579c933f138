"""The unit of work: rows that wait to be inserted together, and reads that need not be repeated in one transaction.

Whoever reads or changes a table sees what waits for it: it is inserted before the first statement that names the table.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine, event

T = TypeVar("T")
Row = Mapping[str, Any]
Insert = Callable[[Connection, Sequence[Row]], None]
Kind = tuple[Insert, list[Row]]
"""Rows that are inserted in the same way."""
InsertAll = Callable[[Connection, Sequence[Sequence[Kind]]], None]
"""Inserts the kinds of rows that wait for each of several tables."""
_KEY: Final = "unit_of_work"
_READS: Final = ("SELECT", "WITH")
_CHANGED: Final = "changes_pages"
_WRITTEN: Final = re.compile(r'\b(?:INSERT INTO|DELETE FROM|UPDATE(?! SET\b))\s+"?(\w+)')
# Named are those that no page shows, so that a new table is taken to be shown until somebody says otherwise.
UNSEEN: Final = frozenset(
    {
        "alembic_version",
        "changes",
        "deliveries",
        "deployment_looks",
        "events",
        "jobs",
        "quarantine",
        "sessions",
        "tallies",
        "target_locks",
        "threads",
    }
)
"""Tables whose rows no page shows by themselves; another that is written may change one."""
# A storm of a hundred thousand alerts must not wait in memory as rows twice.
MOST: Final = 1000
"""Rows of a table that wait at the same time."""


@dataclass(slots=True)
class UnitOfWork:
    """What one work of a transaction has yet to insert, by table, and what it has read, by the tables that it reads."""

    insert_all: InsertAll
    waiting: dict[str, list[Kind]] = field(default_factory=dict)
    read: defaultdict[tuple[str, ...], dict[Hashable, Any]] = field(default_factory=lambda: defaultdict(dict))
    keeps: tuple[str, ...] = ()
    """The tables of what is being changed and remembered as it will be."""

    def flush(self, connection: Connection) -> None:
        """Insert everything that waits, each table's rows in the order in which they came."""
        # Inserting may make more rows wait, such as counters.
        while self.waiting:
            # Exchanged before the first statement, which would else flush the same rows again.
            waiting, self.waiting = self.waiting, {}
            self.insert_all(connection, list(waiting.values()))

    def before(self, connection: Connection, statement: str) -> None:
        """Insert what waits for a table that the statement names; forget what was read of one that it changes."""
        # A name within a longer one flushes too early, which is correct and only slower; the other way about would be
        # wrong.
        if self.waiting and any(table in statement for table in self.waiting):
            self.flush(connection)
        if self.read and not statement.startswith(_READS):
            # `keeps`: whoever saves an incident has put it into the memory as it will be.
            for tables, known in self.read.items():
                if known and tables != self.keeps and any(table in statement for table in tables):
                    known.clear()


def insert_each(connection: Connection, waiting: Sequence[Sequence[Kind]]) -> None:
    """Insert what waits for several tables, one after another."""
    for kinds in waiting:
        for insert, rows in kinds:
            insert(connection, rows)


def run(connection: Connection, work: Callable[[Connection], T], insert_all: InsertAll = insert_each) -> T:
    """Run one work of a transaction and write what it left waiting; what it raised leaves nothing waiting."""
    info = connection.info
    unit = info[_KEY] = UnitOfWork(insert_all)
    try:
        result = work(connection)
        unit.flush(connection)
    finally:
        # Popped on errors too: the connection goes back to its pool, and its next user is somebody else.
        info.pop(_KEY, None)
    return result


def watch(engine: Engine) -> None:
    """Let the units of work of this engine's connections see each statement before it is executed."""

    @event.listens_for(engine, "before_cursor_execute")
    def before(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if unit := _of(connection):
            unit.before(connection, statement)
            if changes_pages(statement):
                connection.info[_CHANGED] = True


@lru_cache(maxsize=2048)
def changes_pages(statement: str) -> bool:
    """Whether a statement writes into a table that a page shows."""
    return not statement.startswith("SELECT") and not UNSEEN.issuperset(_WRITTEN.findall(statement))


def take_changed(connection: Connection) -> bool:
    """Whether what was written on this connection since the last call may change a page."""
    return bool(connection.info.pop(_CHANGED, False))


@contextlib.contextmanager
def keeping(connection: Connection, tables: tuple[str, ...]) -> Iterator[None]:
    """Change rows of these tables of which is remembered already what they will be."""
    unit = _of(connection)
    if unit:
        unit.keeps = tables
    try:
        yield
    finally:
        if unit:
            unit.keeps = ()


def insert_later(connection: Connection, table: str, rows: Sequence[Row], insert: Insert) -> None:
    """Have the rows inserted with others of their table; at once where the connection has no unit of work.

    `insert` writes rows of one kind, and is the same object for the same kind.
    """
    unit = _of(connection)
    if unit is None:
        insert(connection, rows)
        return
    for tables, known in unit.read.items():
        if table in tables and tables != unit.keeps:
            known.clear()
    kinds = unit.waiting.setdefault(table, [])
    # Kinds are kept in their order, since "insert what is new" after "replace" is not the same as before it.
    if not kinds or kinds[-1][0] is not insert:
        kinds.append((insert, []))
    waiting = kinds[-1][1]
    waiting.extend(rows)
    if len(waiting) >= MOST:
        unit.flush(connection)


def remember(connection: Connection, tables: tuple[str, ...], key: Hashable, read: Callable[[], T]) -> T:
    """What `read` returns, asked once a work for this key until a statement changes one of the tables."""
    unit = _of(connection)
    if unit is None:
        return read()
    known = unit.read[tables]
    if key not in known:
        known[key] = read()
    return cast("T", known[key])


def known(connection: Connection, tables: tuple[str, ...]) -> dict[Hashable, Any]:
    """What is remembered of these tables, to look into and to add to; an empty one where nothing is remembered."""
    unit = _of(connection)
    return {} if unit is None else unit.read[tables]


def _of(connection: Connection) -> UnitOfWork | None:
    return cast("UnitOfWork | None", connection.info.get(_KEY))
