"""Files whose content is in force: how they looked when they were read, and which of them are bad since when.

A certificate, an authority or a secret that is gone for a moment, half replaced or emptied leaves the last good one in
force; that must be said, because it ends at the next start.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

Stamp = tuple[int, int, int]


def stamp_of(path: Path) -> Stamp:
    """What changes when a file is replaced or written to; OSError when it is not there."""
    status = path.stat()
    # The inode too: Kubernetes replaces a mounted secret by turning a link, and the new file may be as large and as
    # old.
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True, slots=True)
class StaleFile:
    """A file that cannot be used now: since which Unix time, and why."""

    path: Path
    since: float
    problem: str


class WatchedFiles:
    """The files that a config is filled from, as they looked when they were read, and the files that are bad now."""

    def __init__(self) -> None:
        self._read: dict[Path, Stamp] = {}
        self._plain: set[Path] = set()
        self._stale: dict[Path, StaleFile] = {}
        self._since: dict[Path, float] = {}

    def read_secret(self, path: Path) -> str:
        """The content of a secret's file without its end of line; OSError, or ValueError when there is none."""
        stamp = stamp_of(path)
        text = _content(path)
        self._read[path] = stamp
        self._plain.discard(path)
        return text

    def read_bytes(self, path: Path) -> bytes:
        """The content of any other file that a config is filled from, which may be empty; OSError."""
        stamp = stamp_of(path)
        content = path.read_bytes()
        self._read[path] = stamp
        self._plain.add(path)
        return content

    def changed(self) -> bool:
        """Whether a file's content may be another now; one that cannot be read is noted as stale and is not."""
        changed = False
        for path, before in list(self._read.items()):
            try:
                if stamp_of(path) == before:
                    self.good([path])
                    continue
                # Read before it counts as changed: a secret that is half written is empty, and must not replace a good
                # one.
                path.read_bytes() if path in self._plain else _content(path)
            except (OSError, ValueError) as error:
                self.bad([path], getattr(error, "strerror", None) or str(error))
                continue
            self.good([path])
            changed = True
        return changed

    def forget(self) -> None:
        """Begin anew with another config: its files that are bad still are noted again as they are used."""
        self._stale = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read a whole config anew: afterwards its files alone are watched; those of before when that fails."""
        before, self._read = self._read, {}
        try:
            yield
        except BaseException:
            self._read = before
            raise

    def tried(self) -> None:
        """Take no notice of what has changed, until it changes again: it could not be taken over."""
        for path in list(self._read):
            try:
                self._read[path] = stamp_of(path)
            except OSError:
                del self._read[path]

    def bad(self, paths: Iterable[Path], problem: str, *, now: float | None = None) -> None:
        """Note that files cannot be used, and say so once."""
        for path in paths:
            if path not in self._stale:
                since = self._since.setdefault(path, time.time() if now is None else now)
                self._stale[path] = StaleFile(path, since, problem)
                _log().warning("a file cannot be used, the last good content goes on", file=str(path), problem=problem)

    def good(self, paths: Iterable[Path]) -> None:
        """Note that files can be used, again or still."""
        if not (self._stale or self._since):
            return
        for path in paths:
            self._since.pop(path, None)
            if self._stale.pop(path, None):
                _log().info("a file can be used again", file=str(path))

    def stale(self) -> list[StaleFile]:
        """The files that cannot be used now, the longest first."""
        return sorted(self._stale.values(), key=lambda file: file.since)


def _log() -> BoundLogger:
    from deploywatch import logs  # noqa: PLC0415 - structlog takes long to import, and few files ever fail

    return logs.get("deploywatch")


def _content(path: Path) -> str:
    text = path.read_text(encoding="utf-8").rstrip("\r\n")
    if not text:
        raise ValueError("it is empty")
    return text


WATCHED = WatchedFiles()
"""Those of this process."""
