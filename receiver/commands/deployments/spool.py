"""Keeps what pipelines could not tell the receiver in files, and sends it with the next call, in its order."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from deploywatch import json_text
from deploywatch.errors import DeploywatchError, UnreachableError
from deploywatch.receiver.client import Client, RefusedError, shown

# A wrong token must not throw away what was deployed meanwhile.
PASSING: Final = frozenset({401, 403, 408, 425, 429})
"""Refusals that a person mends without the record being changed: they wait."""
REFUSED: Final = "refused"
ANSWERED: Final = ("id", "service", "version", "status")
"""What a receiver says of a deployment, and nobody else."""
_SUFFIX: Final = ".json"
_FORM: Final = {"url": str, "method": str, "path": str, "body": dict}


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that the receiver has not taken yet; it bears its own time, and changes nothing when sent twice."""

    url: str
    method: str
    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is kept, each with its file, and a sentence for each file that could not be read."""

    entries: list[tuple[Path, Entry]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def of(self, url: str) -> list[tuple[Path, Entry]]:
        """What is kept for the receiver at this URL."""
        return [(path, entry) for path, entry in self.entries if _plain(entry.url) == _plain(url)]

    def others(self, url: str) -> dict[str, int]:
        """How much is kept for receivers at other URLs."""
        return Counter(shown(entry.url) for _, entry in self.entries if _plain(entry.url) != _plain(url))


def _plain(url: str) -> str:
    return shown(url).rstrip("/")


def _read(path: Path) -> Entry:
    """The entry of a file; ValueError where it is none."""
    kept = json_text.parse(path.read_text(encoding="utf-8"))
    if not isinstance(kept, dict) or set(kept) != set(_FORM):
        raise ValueError("it is no record of a deployment")
    if not all(isinstance(kept[name], kind) for name, kind in _FORM.items()):
        raise ValueError("it is no record of a deployment")
    return Entry(**kept)


@dataclass(frozen=True, slots=True)
class Flushed:
    """What came of sending: how many the receiver took, what it will never take, and why it was not asked further.

    `others` is how much is kept for other URLs, and was left alone.
    """

    taken: int = 0
    refused: tuple[str, ...] = ()
    trouble: DeploywatchError | None = None
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def stopped(self) -> str:
        """Why it was not asked further; empty where it was."""
        return str(self.trouble or "")


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
        with os.fdopen(os.open(self.folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def keep(self, entry: Entry) -> Path:
        """Write the entry down as the last. Raises OSError."""
        # By the time it was kept, so that names sort as the calls came; random, as two may come in one tick.
        path = self.folder / f"{time.time_ns():020d}-{token_hex(4)}{_SUFFIX}"
        part = path.with_suffix(".part")
        try:
            self._write(part, entry)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        # In one step: whoever reads the folder sees the whole entry or none.
        part.rename(path)
        return path

    def _write(self, part: Path, entry: Entry) -> None:
        # What is kept may name what is deployed where: it is its user's alone.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(entry), file)
            file.flush()
            os.fsync(file.fileno())

    def waiting(self) -> Waiting:
        """What is kept, the oldest first; a file that cannot be read is put aside."""
        # The lock is ours: whoever began to write these is dead, and has perhaps written all of it.
        for part in self.folder.glob("*.part"):
            part.rename(part.with_suffix(_SUFFIX))
        waiting = Waiting()
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            try:
                entry = _read(path)
            except (ValueError, OSError) as error:
                self._put_aside(path)
                waiting.unreadable.append(f"{path.name} cannot be read ({error})")
                continue
            waiting.entries.append((path, entry))
        return waiting

    def flush(self, client: Client, kept_for: str) -> Flushed:
        """Send what is kept for a URL, in order, until nobody can be reached; what is never taken is put aside."""
        taken = 0
        waiting = self.waiting()
        refused, others = waiting.unreadable, waiting.others(kept_for)
        for path, entry in waiting.of(kept_for):
            try:
                client.record(entry.method, entry.path, entry.body, needs=ANSWERED)
            # The rest waits too: sent out of order, an end could come before its beginning.
            except UnreachableError as error:
                return Flushed(taken, tuple(refused), error, others)
            except RefusedError as error:
                if error.status in PASSING:
                    return Flushed(taken, tuple(refused), error, others)
                self._put_aside(path)
                refused.append(f"{entry.method} {entry.path} {json.dumps(entry.body)}: {error}")
                continue
            taken += 1
            # After the answer: if we die in between it is sent twice, which changes nothing; else it would be lost.
            path.unlink(missing_ok=True)
        return Flushed(taken, tuple(refused), None, others)

    def _put_aside(self, path: Path) -> None:
        aside = self.folder / REFUSED
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside / path.name)
