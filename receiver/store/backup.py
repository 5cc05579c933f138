"""A copy of the SQLite file while a receiver writes to it, and back again."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from deploywatch.receiver.store.engine import locking
from deploywatch.receiver.store.errors import StoreError


def backup(file: Path, target: Path) -> int:
    """Copy the store as it is at one moment into a new file, whole or not at all; how many bytes it has comes back.

    Writers go on meanwhile. StoreError when that cannot be done.
    """
    if target.exists():
        raise StoreError(f"{target} is there already; name a new file")
    with _failing(f"{file} cannot be copied to {target}"):
        _copy(file, target)
        return target.stat().st_size


def _replace(file: Path, fresh: Path) -> None:
    """Put a file in the store's place, without what was in the old one's log."""
    for suffix in ("-wal", "-shm"):
        file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)
    fresh.replace(file)
    _sync(file.parent)


def restore(source: Path, file: Path) -> Path | None:
    """Put a backup in the store's place, while no receiver runs on it; where the old store is kept comes back."""
    descriptor = locking.hold(file)
    kept = file.with_name(f"{file.name}.before-restore")
    try:
        if kept.exists():
            raise StoreError(f"{kept} is there already, from a restore before; move it away")
        with _failing(f"{source} cannot be restored to {file}"):
            fresh = file.with_name(f"{file.name}.restored")
            fresh.unlink(missing_ok=True)
            _copy(source, fresh)
            was_there = file.exists()
            if was_there:
                _copy(file, kept)  # with what is still in its log
            _replace(file, fresh)
            return kept if was_there else None
    finally:
        os.close(descriptor)


def _check(copied: sqlite3.Connection, file: Path) -> None:
    """StoreError where what was copied from a file is damaged, or no store of ours."""
    faults = [row[0] for row in copied.execute("PRAGMA quick_check")]
    if faults != ["ok"]:
        raise StoreError(f"{file} is damaged: {faults[0]}")
    if not list(copied.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")):
        raise StoreError(f"{file} is no store of a receiver")


def _copy(file: Path, target: Path) -> None:
    """Everything that is committed in one file, on the disk before it bears its name."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as old,
            contextlib.closing(sqlite3.connect(part)) as new,
        ):
            old.backup(new)  # in one step, so that no writer makes it begin again
            new.execute("PRAGMA journal_mode=DELETE")
            _check(new, file)
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StoreError(f"{what}: {reason}") from error
