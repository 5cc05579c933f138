"""What a peer and we said of the same situation."""

from __future__ import annotations

from dataclasses import dataclass

from deploywatch.exporter.results import Result


@dataclass(frozen=True, slots=True)
class Pair:
    """What a peer said, in words, and our result; `shown` are names of our series that say what is at stake."""

    theirs: str
    ours: Result
    shown: tuple[str, ...] = ()
