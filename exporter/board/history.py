"""The results that people may want to look at again: the last hundred, and the last hundred failures."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from deploywatch.exporter.results import Result

LIMIT = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One result with what was probed: a target of the schedule, or what a caller of `/probe` asked for."""

    number: int
    name: tuple[str, ...]
    kind: str
    result: Result


@dataclass(slots=True)
class History:
    """Keeps `limit` results, and failures longer: as many again of these alone, and each target's last."""

    limit: int = LIMIT
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _all: deque[Entry] = field(init=False)
    _failures: deque[Entry] = field(init=False)
    _last_failures: dict[tuple[str, ...], Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._all = deque(maxlen=self.limit)
        self._failures = deque(maxlen=self.limit)

    def note(self, name: tuple[str, ...], kind: str, result: Result, *, keep: bool = True) -> Entry:
        """Take a result; with `keep` the last failure of this name stays until `forget`."""
        entry = Entry(next(self._numbers), name, kind, result)
        self._all.append(entry)
        if not result.success:
            self._failures.append(entry)
            if keep:
                self._last_failures[name] = entry
        return entry

    def forget(self, name: tuple[str, ...]) -> None:
        """Keep nothing more of a target that is gone."""
        self._last_failures.pop(name, None)

    def last_failure(self, name: tuple[str, ...]) -> Entry | None:
        """A target's last failure."""
        return self._last_failures.get(name)

    def recent(self) -> list[Entry]:
        """The last results, newest first."""
        return list(reversed(self._all))

    def failures(self) -> list[Entry]:
        """The last failures, newest first."""
        return list(reversed(self._failures))

    def numbers(self, name: tuple[str, ...]) -> dict[float, int]:
        """Of a target's results that are kept whole: their numbers, by when they began."""
        kept = itertools.chain(self._all, self._failures, self._last_failures.values())
        return {entry.result.started: entry.number for entry in kept if entry.name == name}

    def find(self, number: int) -> Entry | None:
        """The result of this number, while it is kept."""
        kept = itertools.chain(self._all, self._failures, self._last_failures.values())
        return next((entry for entry in kept if entry.number == number), None)
