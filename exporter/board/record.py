"""What is known of one target: its last result, its counters, and its latency histogram; and these as samples."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from deploywatch import conventions
from deploywatch.conventions import ProbeMetric
from deploywatch.exporter.board.strip import Strip
from deploywatch.exporter.exposition import BASE, Page
from deploywatch.exporter.measure import families
from deploywatch.exporter.probing.measurement import OWN
from deploywatch.exporter.results import Family, Reason, Result, Sample
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
    strip: Strip = field(default_factory=Strip)
    _failures_text: str = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.buckets) + 1)
        self.reasons = self.target.settings.reasons()
        key = self.target.key
        self.page = Page(
            (
                (conventions.SERVICE, key.service),
                (conventions.ENVIRONMENT, key.environment),
                (conventions.PROBE, key.probe),
                (conventions.KIND, self.target.kind),
            )
        )
        self._failures_text = self._render_failures()

    def note(self, result: Result) -> None:
        """Take over a run's result."""
        self.last, self.stale = result, False
        self.runs += 1
        self.strip.note(result)
        if result.reason is not None:
            self.failures[result.reason] += 1
            self._failures_text = self._render_failures()
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

    def render(self) -> dict[Family, str]:
        """The text of each family; counters are there from the beginning, at 0."""
        if self.last is None:
            texts = {family: self.page.fill(text) for family, text in _unborn(self.buckets).items()}
        else:
            texts = self.page.render(self.samples())
        texts[families.FAILURES] = self._failures_text
        return texts

    def _render_failures(self) -> str:
        """Rendered only when one is counted: for most targets these lines are many, and always the same."""
        reasons = dict.fromkeys((*self.reasons, *self.failures))
        return self.page.fill(_failures(tuple((reason, self.failures[reason]) for reason in reasons)))

    def samples(self) -> Iterator[Sample]:
        """Everything to expose but the failures; without what was measured when that is stale."""
        if self.last is not None and not self.stale:
            yield Sample(families.SUCCESS, self.last.success)
            yield Sample(families.DURATION, self.last.duration)
            if self.last.reason:
                yield Sample(families.FAILURE_INFO, 1, (("reason", str(self.last.reason)),))
            yield from first_of_each(self.last.samples)
        if self.last is not None:
            yield Sample(families.LAST_RUN, self.last.started)
        yield Sample(families.RUNS, self.runs)
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


@lru_cache(maxsize=1024)
def _failures(counts: tuple[tuple[Reason, int], ...]) -> str:
    """The lines of these counters, of any target."""
    return "".join(f'{families.FAILURES.name}{{{BASE},reason="{reason}"}} {count}\n' for reason, count in counts)


@lru_cache(maxsize=64)
def _unborn(buckets: tuple[float, ...]) -> dict[Family, str]:
    """The lines of any target that has not run yet: the other counters, at 0."""
    name = families.RUN_DURATION.name
    bounds = (*(str(float(bound)) for bound in buckets), "+Inf")
    lines = [f'{name}_bucket{{{BASE},le="{bound}"}} 0\n' for bound in bounds]
    lines += [f"{name}_sum{{{BASE}}} 0\n", f"{name}_count{{{BASE}}} 0\n"]
    return {families.RUNS: f"{families.RUNS.name}{{{BASE}}} 0\n", families.RUN_DURATION: "".join(lines)}


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
