"""How late things happen: a histogram of delays, and the watch that measures those of the event loop."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

from prometheus_client.core import HistogramMetricFamily

from deploywatch.clock import Clock

START_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds for the delays of runs, in seconds."""

LOOP_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Upper bounds for the delays of the event loop, in seconds."""

LOOP_PERIOD = 0.02
"""Seconds between two looks at the event loop; a block that begins in between is seen this much shorter at most."""


@dataclass(slots=True)
class Lags:
    """Delays in seconds, counted by upper bounds, with the longest of all."""

    bounds: tuple[float, ...]
    longest: float = 0.0
    sum: float = 0.0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def note(self, seconds: float) -> None:
        """Count a delay."""
        # Left: a delay of exactly a bound belongs to its bucket, as `le` means.
        self.counts[bisect.bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds
        self.longest = max(self.longest, seconds)

    def metric(self, name: str, text: str) -> HistogramMetricFamily:
        """The delays as a histogram."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self.sum)


async def watch_loop(clock: Clock, lags: Lags) -> None:
    """Note for ever how much later than asked the event loop wakes us."""
    while True:
        before = clock.monotonic()
        await clock.sleep(LOOP_PERIOD)
        lags.note(max(0.0, clock.monotonic() - before - LOOP_PERIOD))
