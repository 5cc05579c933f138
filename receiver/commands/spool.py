"""Keeps what pipelines could not tell the receiver in files, and sends it with the next call, in its order."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from deploywatch import json_text
from deploywatch.errors import UnreachableError
from deploywatch.receiver.client import Client, RefusedError

PASSING: Final = frozenset({401, 403, 408, 425, 429})
"""Refusals that a person mends without the record being changed: they wait."""
REFUSED: Final = "refused"
_SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that the receiver has not taken yet; it bears its own time, and changes nothing when sent twice."""

    url: str
    method: str
    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Flushed:
    """What came of sending: how many the receiver took, what it will never take, and why it was not asked further."""

    taken: int = 0
    refused: tuple[str, ...] = ()
    stopped: str = ""


def default_folder() -> Path:
    """Where programs of a user keep what must survive: `$XDG_STATE_HOME/deploywatch/spool`, or below the home."""
    state = os.environ.get("XDG_STATE_HOME") or Path(os.environ.get("HOME") or "/tmp") / ".local" / "state"  # noqa: S108
    return Path(state) / "deploywatch" / "spool"


class Spool:
    """A folder of entries; whoever sends or keeps holds its lock, so that their order is that of the calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, which ends with the process. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def keep(self, entry: Entry) -> Path:
        """Write the entry down as the last. Raises OSError."""
        path = self.folder / f"{time.time_ns():020d}-{token_hex(4)}{_SUFFIX}"
        part = path.with_suffix(".part")
        # What is kept may name what is deployed where: it is its user's alone.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(entry), file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        return path

    def waiting(self, url: str) -> list[tuple[Path, Entry]]:
        """What is kept for this receiver, the oldest first; a file that cannot be read is put aside."""
        entries = []
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            try:
                entry = Entry(**json_text.parse(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError, OSError):
                self._put_aside(path)
                continue
            if entry.url == url:
                entries.append((path, entry))
        return entries

    def flush(self, client: Client) -> Flushed:
        """Send what is kept, in order, until the receiver cannot be reached; what it never takes is put aside."""
        taken = 0
        refused: list[str] = []
        for path, entry in self.waiting(client.url):
            try:
                client.send(entry.method, entry.path, entry.body)
            except UnreachableError as error:
                return Flushed(taken, tuple(refused), str(error))
            except RefusedError as error:
                if error.status in PASSING:
                    return Flushed(taken, tuple(refused), str(error))
                self._put_aside(path)
                refused.append(f"{entry.method} {entry.path} {json.dumps(entry.body)}: {error}")
                continue
            taken += 1
            path.unlink(missing_ok=True)
        return Flushed(taken, tuple(refused))

    def _put_aside(self, path: Path) -> None:
        aside = self.folder / REFUSED
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside / path.name)
