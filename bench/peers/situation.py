"""A situation: its name, how it is brought about, what a peer says of it and what we say, and what is right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.peers.pair import Pair
from bench.peers.scene import Scene
from deploywatch.exporter.results import Reason, Result

Right = Callable[[Result, dict[str, float]], bool]
"""Whether what we say is right, from the result and the values that were measured."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One row of the table."""

    peer: str
    name: str
    right: Right
    bring_about: Callable[[Scene], Awaitable[Pair]]


SITUATIONS: list[Situation] = []
"""All of them, in the order of the table."""


def situation(
    peer: str, name: str, right: Right
) -> Callable[[Callable[[Scene], Awaitable[Pair]]], Callable[[Scene], Awaitable[Pair]]]:
    """Enter a function that brings a situation about."""

    def enter(bring_about: Callable[[Scene], Awaitable[Pair]]) -> Callable[[Scene], Awaitable[Pair]]:
        SITUATIONS.append(Situation(peer, name, right, bring_about))
        return bring_about

    return enter


def well(**values: float) -> Right:
    """Right is a success, with these values."""
    return lambda result, samples: result.success and all(samples.get(name) == value for name, value in values.items())


def shows(*names: str) -> Right:
    """Right is a success that has these series."""
    return lambda result, samples: result.success and all(name in samples for name in names)


def fails(reason: Reason, *words: str, has: tuple[str, ...] = ()) -> Right:
    """Right is a failure for the reason, with these words in its detail and these series beside it."""
    return lambda result, samples: (
        result.reason is reason
        and all(word in result.detail for word in words)
        and all(any(name.startswith(series) for name in samples) for series in has)
    )


def remarks(word: str) -> Right:
    """Right is a success that says so."""
    return lambda result, _: result.success and any(word in remark for remark in result.remarks)
