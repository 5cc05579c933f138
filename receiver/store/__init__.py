"""The store: SQLite by default, PostgreSQL for several replicas; one transaction at a time is one function."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from deploywatch.receiver.store import (
    action_schema,
    console_schema,
    deployment_schema,
    event_schema,
    people_schema,
    revisions,
    schema,
)
from deploywatch.receiver.store.engine import locking
from deploywatch.receiver.store.engine.backend import Backend, T, Work, told
from deploywatch.receiver.store.engine.group_read import GroupRead
from deploywatch.receiver.store.engine.postgres import Postgres
from deploywatch.receiver.store.engine.sqlite import Sqlite
from deploywatch.receiver.store.errors import StoreError, UnfitError
from deploywatch.receiver.store.revisions import SchemaError
from deploywatch.receiver.store.writing import Known, insert_all, insert_id, insert_later, insert_new, upsert

# Every table is known as soon as the store is.
__all__ = [
    "Known",
    "SchemaError",
    "Store",
    "StoreError",
    "UnfitError",
    "action_schema",
    "console_schema",
    "deployment_schema",
    "event_schema",
    "insert_all",
    "insert_id",
    "insert_later",
    "insert_new",
    "people_schema",
    "schema",
    "upsert",
]


class Store:
    """Runs functions of a Connection, each in one transaction; a write returns when it is safe on the disk.

    A SQLite file belongs to one process: `open` takes a lock file.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.file = Path(parsed.database) if self.is_sqlite and parsed.database else None
        self._lock_file: int | None = None
        self._backend: Backend = Sqlite(parsed) if self.is_sqlite else Postgres(parsed)
        self._together = GroupRead(self._backend.read, told)
        self.failures: Counter[str] = Counter(read=0, write=0)
        """How often the database failed, by what was asked of it."""

    async def open(self) -> None:
        """Take the lock and bring SQLite's schema up to date; StoreError says why when that is not possible.

        PostgreSQL's, which several replicas share, is only looked at: SchemaError when `migrate` has to be run first.
        """
        if self.file is not None:
            await self.migrate()
        else:
            # Not upgraded here: replicas of the version before still run, and a person chooses the moment.
            await self.read(revisions.check)
        self._backend.opened()

    async def migrate(self) -> str:
        """Bring the schema to what this version needs; the revision comes back."""
        if self.file is not None and self._lock_file is None:
            # Before anything is read: another process may be half way through its own upgrade.
            self._lock_file = locking.hold(self.file)
        return await self.write(revisions.upgrade)

    async def close(self) -> None:
        """Give up every connection and the lock."""
        await self._backend.close()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and commit; StoreError, and nothing written, when the database fails.

        UnfitError when the database works but will never take these values. `work` may run in another thread.
        """
        with self._counted("write"):
            return await self._backend.write(work)

    async def read_together(self, work: Work[T]) -> T:
        """Run `work` as `read` does, with others that ask at the same time: what several read is read once."""
        with self._counted("read"):
            return await self._together.read(work)

    async def changes(self) -> str:
        """A text that differs once a change of what pages show can be read, whichever replica has written it."""
        with self._counted("read"):
            return await self._backend.changes()

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a consistent view; to write, use `write`."""
        with self._counted("read"):
            return await self._backend.read(work)

    @contextmanager
    def _counted(self, operation: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            self.failures[operation] += 1
            raise
