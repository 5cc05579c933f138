"""What is known of one target: its last result, its counters, and its latency histogram; and these as samples."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache

from deploywatch import conventions
from deploywatch.conventions import ProbeMetric
from deploywatch.exporter.board.strip import Strip
from deploywatch.exporter.exposition import BASE, Exposition, Layout, Series, layout_of, pairs, series_of
from deploywatch.exporter.measure import families
from deploywatch.exporter.probing.measurement import OWN
from deploywatch.exporter.results import Reason, Result
from deploywatch.exporter.targets import Target

APPLICATION = "probe_application_"
"""How the names begin of what a service says of itself."""


@dataclass(slots=True)
class Record:
    """Counts a target's runs; `stale` once a run was missed, so that old measurements are not taken for new ones."""

    target: Target
    buckets: tuple[float, ...]
    labels: str = field(init=False)
    reasons: tuple[Reason, ...] = field(init=False)
    last: Result | None = None
    stale: bool = False
    runs: int = 0
    failing_since: float | None = None
    failures: Counter[Reason] = field(default_factory=Counter)
    sum: float = 0.0
    counts: list[int] = field(init=False)
    strip: Strip = field(default_factory=Strip)
    _layout: Layout | None = None

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.buckets) + 1)
        self.reasons = self.target.settings.reasons()
        key = self.target.key
        self.labels = pairs(
            (
                (conventions.SERVICE, key.service),
                (conventions.ENVIRONMENT, key.environment),
                (conventions.PROBE, key.probe),
                (conventions.KIND, self.target.kind),
            )
        )

    def successor(self, target: Target, buckets: tuple[float, ...]) -> Record:
        """The record of a probe whose settings have changed: of the same target, what is known of it stays known.

        A probe that fails goes on failing, since when it did, until a run says otherwise. One that was good is unknown
        until then when it is asked or judged otherwise now. Counters go on while the buckets are the same.
        """
        new, old = Record(target, buckets), self.target
        if (old.kind, old.settings.shown_target()) != (target.kind, target.settings.shown_target()):
            return new
        new.strip, new.failing_since = self.strip, self.failing_since
        if buckets == self.buckets:
            new.runs, new.failures, new.sum, new.counts = self.runs, self.failures, self.sum, self.counts
        if self.last is not None and (not self.last.success or _judged_alike(old, target)):
            new.last, new.stale = self.last, self.stale
        return new

    def note(self, result: Result) -> None:
        """Take over a run's result."""
        self.last, self.stale = result, False
        self.runs += 1
        self.strip.note(result)
        if result.reason is not None:
            self.failures[result.reason] += 1
            if self.failing_since is None:
                self.failing_since = result.started
            return
        self.failing_since = None
        # Of runs that succeeded alone: a run that failed at once would make the service look fast.
        self.counts[bisect.bisect_left(self.buckets, result.duration)] += 1
        self.sum += result.duration

    def let_go(self) -> None:
        """Keep of the last result what health answers show; the rest stands rendered on the page.

        With thousands of targets these are most of the objects that there are, and the garbage collector's longest way.
        """
        if self.last is None or not self.last.samples:
            return
        samples = tuple([sample for sample in self.last.samples if _is_shown(sample.family.name, bool(sample.labels))])
        self.last = replace(self.last, samples=samples)

    def expired(self, now: float) -> bool:
        """Whether at Unix time `now` a whole run has been missed."""
        if self.last is None:
            return False
        # Two, as one run may begin late or take its whole timeout without being missed.
        return now > self.last.started + 2 * self.target.interval + self.target.timeout

    def put(self, exposition: Exposition) -> None:
        """Put up the text of everything but the failures; without what was measured when that is stale."""
        last, series, values = self.last, [], []
        if last is not None and not self.stale:
            series += [_SUCCESS, _DURATION]
            values += [last.success, last.duration]
            if last.reason:
                series.append((families.FAILURE_INFO, "", (("reason", str(last.reason)),)))
                values.append(1)
            series += series_of(last.samples)
            values += [sample.value for sample in last.samples]
        if last is not None:
            series.append(_LAST_RUN)
            values.append(last.started)
        counts = list(itertools.accumulate(self.counts))
        series += _counters(self.buckets)
        values += [self.runs, *counts, self.sum, counts[-1]]
        # It is held so that the next run, and other targets, find it.
        self._layout = layout = layout_of(tuple(series))
        exposition.put(self.target.key, layout.families, layout.fill(self.labels, values))

    def put_failures(self, exposition: Exposition) -> None:
        """Put up the counters of failures, which are there from the beginning, at 0."""
        reasons = dict.fromkeys((*self.reasons, *self.failures))
        lines = _failures(tuple([(reason, self.failures[reason]) for reason in reasons]))
        exposition.put_alike(self.target.key, families.FAILURES, lines, self.labels)


def _judged_alike(one: Target, other: Target) -> bool:
    """Whether two targets differ in nothing but their times and in what people choose them by."""
    first, second = (target.settings.model_dump(exclude=_ABOUT_RUNS) for target in (one, other))
    return first == second


_ABOUT_RUNS = {"layer", "tags", "required", "timeout", "interval"}
_SUCCESS: Series = (families.SUCCESS, "", ())
_DURATION: Series = (families.DURATION, "", ())
_LAST_RUN: Series = (families.LAST_RUN, "", ())


@lru_cache(maxsize=64)
def _counters(buckets: tuple[float, ...]) -> tuple[Series, ...]:
    """The series of runs and of the histogram, which any target has from the beginning."""
    # As OpenMetrics wants it: 1.0, not 1.
    bounds = (*(str(float(bound)) for bound in buckets), "+Inf")
    family = families.RUN_DURATION
    histogram = [(family, "_bucket", (("le", bound),)) for bound in bounds]
    return ((families.RUNS, "", ()), *histogram, (family, "_sum", ()), (family, "_count", ()))


@lru_cache(maxsize=1024)
def _failures(counts: tuple[tuple[Reason, int], ...]) -> tuple[str, ...]:
    """The lines of these counters, of any target, in parts between which its labels stand."""
    lines = [f'{families.FAILURES.name}{{{BASE},reason="{reason}"}} {count}\n' for reason, count in counts]
    return tuple("".join(lines).split(BASE))


@lru_cache(maxsize=4096)
def _is_shown(name: str, labelled: bool) -> bool:
    """Whether health answers show it: what a service says of itself, the round trip of PING, figures of the config."""
    return name.startswith(APPLICATION) or name == ProbeMetric.REDIS_PING or not (labelled or name.startswith(OWN))
