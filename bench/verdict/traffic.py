"""Simulated canaries: requests of two versions side by side, and the bad ones among them, singly or in clumps."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from deploywatch.verdict.evidence import Look

LOOK, CANARY_SHARE = 30, 0.1
STAGE_LOOKS, HOUR_LOOKS = 90, 120
"""A stage that lasts 15 minutes, at most three times as long; and the hour before it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service: requests a second of both versions, the control's ratio of bad ones, how many of them come at once."""

    rate: float
    ratio: float
    clump: int

    @property
    def limit(self) -> float:
        """What its policy allows, for all methods that need a limit: twice its usual ratio."""
        return 2 * self.ratio


@dataclass(frozen=True, slots=True)
class Run:
    """One simulated stage: its looks, and the control's of the hour before."""

    looks: list[Look]
    before: list[Look]


def simulate(service: Service, times: float, random: Random) -> Run:
    """Simulates a stage whose canary has `times` the control's ratio of bad requests."""
    new, old = service.rate * LOOK * CANARY_SHARE, service.rate * LOOK * (1 - CANARY_SHARE)
    looks = []
    for _ in range(STAGE_LOOKS):
        n, m = _requests(new, random), _requests(old, random)
        x, y = _bad(new, service, times, random), _bad(old, service, 1, random)
        looks.append(Look(n, min(x, n), m, min(y, m)))
    before = []
    for _ in range(HOUR_LOOKS):
        n = _requests(new + old, random)
        before.append(Look(n, min(_bad(new + old, service, 1, random), n)))
    return Run(looks, before)


def _requests(mean: float, random: Random) -> int:
    return max(0, round(random.gauss(mean, math.sqrt(mean))))


def _bad(requests: float, service: Service, times: float, random: Random) -> int:
    clumps = requests * service.ratio * times / service.clump
    return service.clump * bisect(_poisson(round(clumps, 9)), random.random())


@lru_cache(maxsize=1024)
def _poisson(mean: float) -> list[float]:
    """The probabilities of at most 0, 1, 2 … events."""
    term = below = math.exp(-mean)
    sums = [below]
    while below < 1 - 1e-12 and len(sums) < mean + 20 * math.sqrt(mean) + 20:
        term *= mean / len(sums)
        below += term
        sums.append(below)
    return sums
