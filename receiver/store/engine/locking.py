"""The lock that makes a SQLite file one process's own."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from deploywatch.receiver.store.errors import StoreError


def hold(file: Path) -> int:
    """Take the lock beside the file; it is given back when the descriptor is closed. StoreError when it is taken."""
    descriptor = -1
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # flock ends with the process, however it ends: a crash leaves no lock behind.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise StoreError(f"{file} is in use by another receiver; for several replicas use PostgreSQL") from error
        raise StoreError(f"{file} cannot be opened: {error.strerror}") from error
    return descriptor
