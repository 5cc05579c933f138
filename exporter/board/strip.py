"""The last results of one target in little memory: when each began, how long it took, and why it failed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple

from deploywatch.exporter.results import Reason, Result

KEPT: Final = 60
"""Results of each target: 1 KB, so that 5,000 targets have 5 MB."""
_REASONS: Final = tuple(Reason)
_CODES: Final = {reason: code for code, reason in enumerate(_REASONS, start=1)}


class Small(NamedTuple):
    """One result: `started` is Unix time, `duration` seconds; it succeeded when it has no reason to the contrary."""

    started: float
    duration: float
    reason: Reason | None


class Strip:
    """Keeps the newest results, the oldest first."""

    __slots__ = ("_codes", "_durations", "_started")

    def __init__(self) -> None:
        self._started = array("d")
        self._durations = array("f")
        self._codes = bytearray()

    def note(self, result: Result) -> None:
        """Take a result; the oldest makes room."""
        # An array and no deque of objects: objects of Python would take several times the room.
        if len(self._codes) == KEPT:
            del self._started[0], self._durations[0], self._codes[0]
        self._started.append(result.started)
        self._durations.append(result.duration)
        self._codes.append(_CODES[result.reason] if result.reason else 0)

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._codes)

    def __iter__(self) -> Iterator[Small]:
        """The results, the oldest first."""
        for started, duration, code in zip(self._started, self._durations, self._codes, strict=True):
            yield Small(started, duration, _REASONS[code - 1] if code else None)
