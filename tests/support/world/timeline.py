"""What happens to a service, when: states that change, restarts, deployments."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from tests.support.world.state import State

HOUR, DAY = 3600, 86400


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment: its start, in seconds since the world began, its version, and how it ended."""

    start: float
    version: str
    status: str = "succeeded"


@dataclass(slots=True)
class Timeline:
    """A service's life, in seconds since the world began; a change holds until another takes its place."""

    usual: State = field(default_factory=State)
    changes: dict[float, dict[str, Any]] = field(default_factory=dict)
    restarts: set[float] = field(default_factory=set)
    deployments: list[Deployment] = field(default_factory=list)

    def at(self, second: float, **changes: Any) -> Timeline:
        """From then on these figures are others."""
        self.changes.setdefault(second, {}).update(changes)
        return self

    def between(self, start: float, end: float, **changes: Any) -> Timeline:
        """These figures are others for a time, and then as usual again."""
        self.at(start, **changes)
        return self.at(end, **{name: getattr(self.usual, name) for name in changes})

    def deployed(self, second: float, version: str, status: str = "succeeded") -> Timeline:
        """A deployment begins, and restarts every instance."""
        self.deployments.append(Deployment(second, version, status))
        self.restarts.add(second)
        return self

    def phases(self, length: float) -> Iterator[tuple[float, float, State, bool]]:
        """From when, until when, how it is, and whether its instances have just restarted."""
        moments = sorted({0.0, *self.changes, *self.restarts, length})
        now = self.usual
        for start, end in pairwise(moments):
            now = replace(now, **self.changes.get(start, {}))
            yield start, min(end, length), now, start in self.restarts


def daily(seed: int, length: float, swing: float = 0.6, every: float = HOUR) -> Mapping[float, float]:
    """By what traffic is multiplied, hour by hour: a sine of the day with ±`swing`, and ±3 % of chance."""
    dice = random.Random(seed)  # noqa: S311 - a model's noise
    found = {}
    for number in range(math.ceil(length / every)):
        at = number * every
        found[at] = round((1 + swing * math.sin(2 * math.pi * at / DAY)) * dice.uniform(0.97, 1.03), 4)
    return found
