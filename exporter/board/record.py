"""What is known of one target: its last result, its counters, and its latency histogram; and these as samples."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from deploywatch import conventions
from deploywatch.conventions import ProbeMetric
from deploywatch.exporter.exposition import Page
from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.reasons import reasons_of
from deploywatch.exporter.probing import OWN
from deploywatch.exporter.results import Reason, Result, Sample
from deploywatch.exporter.targets import Target

APPLICATION = "probe_application_"
"""How the names begin of what a service says of itself."""


@dataclass(slots=True)
class Record:
    """Counts a target's runs; `stale` once a run was missed, so that old measurements are not taken for new ones."""

    target: Target
    buckets: tuple[float, ...]
    page: Page = field(init=False)
    reasons: tuple[Reason, ...] = field(init=False)
    last: Result | None = None
    stale: bool = False
    runs: int = 0
    failing_since: float | None = None
    failures: Counter[Reason] = field(default_factory=Counter)
    sum: float = 0.0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.buckets) + 1)
        self.reasons = reasons_of(self.target.kind)
        key = self.target.key
        self.page = Page(
            (
                (conventions.SERVICE, key.service),
                (conventions.ENVIRONMENT, key.environment),
                (conventions.PROBE, key.probe),
                (conventions.KIND, self.target.kind),
            )
        )

    def note(self, result: Result) -> None:
        """Take over a run's result."""
        self.last, self.stale = result, False
        self.runs += 1
        if result.reason is not None:
            self.failures[result.reason] += 1
            if self.failing_since is None:
                self.failing_since = result.started
            return
        self.failing_since = None
        self.counts[bisect.bisect_left(self.buckets, result.duration)] += 1
        self.sum += result.duration

    def let_go(self) -> None:
        """Keep of the last result what health answers show; the rest stands rendered on the page.

        With thousands of targets these are most of the objects that there are, and the garbage collector's longest way.
        """
        if self.last is None or not self.last.samples:
            return
        samples = tuple(sample for sample in self.last.samples if _is_shown(sample))
        self.last = replace(self.last, samples=samples)

    def expired(self, now: float) -> bool:
        """Whether at Unix time `now` a whole run has been missed."""
        if self.last is None:
            return False
        return now > self.last.started + 2 * self.target.interval + self.target.timeout

    def samples(self) -> Iterator[Sample]:
        """Everything to expose; without what was measured when that is stale. Counters are there from the beginning."""
        if self.last is not None and not self.stale:
            yield Sample(families.SUCCESS, self.last.success)
            yield Sample(families.DURATION, self.last.duration)
            if self.last.reason:
                yield Sample(families.FAILURE_INFO, 1, (("reason", str(self.last.reason)),))
            yield from first_of_each(self.last.samples)
        if self.last is not None:
            yield Sample(families.LAST_RUN, self.last.started)
        yield Sample(families.RUNS, self.runs)
        for reason in dict.fromkeys((*self.reasons, *self.failures)):
            yield Sample(families.FAILURES, self.failures[reason], (("reason", str(reason)),))
        yield from self._histogram()

    def _histogram(self) -> Iterator[Sample]:
        total = 0
        for bound, count in zip((*self.buckets, math.inf), self.counts, strict=True):
            total += count
            # As OpenMetrics wants it: 1.0, not 1.
            le = str(float(bound)) if bound < math.inf else "+Inf"
            yield Sample(families.RUN_DURATION, total, (("le", le),), "_bucket")
        yield Sample(families.RUN_DURATION, self.sum, suffix="_sum")
        yield Sample(families.RUN_DURATION, total, suffix="_count")


def _is_shown(sample: Sample) -> bool:
    """Whether health answers show it: what a service says of itself, the round trip of PING, figures of the config."""
    name = sample.family.name
    return name.startswith(APPLICATION) or name == ProbeMetric.REDIS_PING or not (sample.labels or name.startswith(OWN))


def first_of_each(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples without those of a series that was there already: one such would spoil the whole scrape."""
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for sample in samples:
        series = (sample.family.name, sample.labels)
        if series not in seen:
            seen.add(series)
            yield sample
