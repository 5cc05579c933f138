"""The store: SQLite by default, PostgreSQL for several replicas; one transaction at a time is one function."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from receiver.store.backends import Backend, Postgres, Sqlite, StoreError, T, UnfitError, Work
from receiver.store.writing import insert_all, insert_id, insert_new, upsert

__all__ = ["Store", "StoreError", "UnfitError", "insert_all", "insert_id", "insert_new", "upsert"]

_MIGRATIONS = Path(__file__).parent / "migrations"


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

    async def open(self) -> None:
        """Take the lock, bring the schema up to date; StoreError says why when that is not possible."""
        if self.file is not None:
            self._take_lock(self.file)
        await self.write(_migrate)

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
        return await self._backend.write(work)

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a consistent view; to write, use `write`."""
        return await self._backend.read(work)

    def _take_lock(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{file} is in use by another receiver; for several replicas use PostgreSQL") from error
        except OSError as error:
            raise StoreError(f"{file} cannot be opened: {error.strerror}") from error


def _migrate(connection: Connection) -> None:
    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
