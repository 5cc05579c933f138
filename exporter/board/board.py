"""The board on which results are put up: what each target's last run gave, for /metrics and for the health answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from deploywatch import conventions, logs
from deploywatch.clock import Clock
from deploywatch.exporter.board.history import History
from deploywatch.exporter.board.record import Record
from deploywatch.exporter.config import ServiceKey, dependents
from deploywatch.exporter.exposition import Exposition, Format
from deploywatch.exporter.measure import families
from deploywatch.exporter.results import Dropped, Result, Sample, iso
from deploywatch.exporter.targets import Key, Target

log = logs.get("exporter")

_AT_ONCE = 100
"""Targets whose text is written anew without a pause: some milliseconds."""


class Board:
    """Keeps the records of the targets that there are now, and their text."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._exposition = Exposition()
        self.history = History()
        self.records: dict[Key, Record] = {}
        self.dependencies: dict[ServiceKey, tuple[str, ...]] = {}
        self.dependents: dict[ServiceKey, tuple[str, ...]] = {}
        self.dropped: Counter[Dropped] = Counter()
        self.changes = 0
        """How often a probe has become well, or failed for another reason; or there were other probes."""

    def set_up(
        self, targets: Iterable[Target], dependencies: dict[ServiceKey, tuple[str, ...]], buckets: tuple[float, ...]
    ) -> None:
        """Make room for these targets; of those that were there before, what is known stays, the others are gone."""
        old, self.records = self.records, {}
        for target in targets:
            known = old.get(target.key)
            if known and known.target == target and known.buckets == buckets:
                self.records[target.key] = known
                continue
            record = known.successor(target, buckets) if known else Record(target, buckets)
            self.records[target.key] = record
            self._exposition.remove(target.key)
            record.put(self._exposition)
            record.put_failures(self._exposition)
        for gone in old.keys() - self.records.keys():
            self._exposition.remove(gone)
            self.history.forget(gone)
        self._set_dependencies(dependencies)
        self.changes += 1

    def note(self, target: Target, result: Result) -> None:
        """Put up a result; one of a target that has been removed or changed meanwhile is dropped."""
        record = self.records.get(target.key)
        # A run that was under way while its target changed speaks of a probe that is no more.
        if record is None or record.target != target:
            return
        before = record.last
        record.note(result)
        if result.dropped:
            self.dropped.update(result.dropped)
        self.changes += before is None or before.reason != result.reason
        _log(record, before, result, self.dependents.get(target.key.owner, ()))
        self.history.note(target.key, target.kind, result)
        record.put(self._exposition)
        if result.reason is not None:
            record.put_failures(self._exposition)
        # After the text is put: this drops the samples that the text is made of.
        record.let_go()

    def text(self, format_: Format = Format.TEXT) -> str:
        """The exposition text of all targets as of now."""
        return "".join(self.pieces(format_))

    def pieces(self, format_: Format = Format.TEXT) -> Iterator[str]:
        """The text family by family, so that between two of them something else can be done."""
        for _ in self.expire():
            pass
        yield from self._exposition.pieces(format_)

    def expire(self) -> Iterator[None]:
        """Take down what was measured before runs that were missed; it pauses, as all may have been missed at once."""
        now, taken_down = self._clock.now(), 0
        for record in list(self.records.values()):
            if record.stale or not record.expired(now) or self.records.get(record.target.key) is not record:
                continue
            record.stale = True
            record.put(self._exposition)
            taken_down += 1
            if taken_down % _AT_ONCE == 0:
                yield

    def waiting(self) -> Iterator[Key]:
        """The targets that have not run yet."""
        return (key for key, record in self.records.items() if record.last is None)

    def current(self, record: Record) -> Result | None:
        """A target's last result, unless a run has been missed since."""
        return None if record.expired(self._clock.now()) else record.last

    def _set_dependencies(self, dependencies: dict[ServiceKey, tuple[str, ...]]) -> None:
        for owner in self.dependencies:
            self._exposition.remove(owner)
        self.dependencies, self.dependents = dependencies, dependents(dependencies)
        for owner, others in dependencies.items():
            labels = ((conventions.SERVICE, owner.service), (conventions.ENVIRONMENT, owner.environment))
            samples = [Sample(families.DEPENDENCY, 1, (("depends_on", other),)) for other in dict.fromkeys(others)]
            self._exposition.put_samples(owner, labels, samples)


def _log(record: Record, before: Result | None, now: Result, needed_by: tuple[str, ...]) -> None:
    """Tell when a probe begins to fail, fails for another reason, or works again; the rest is for debugging."""
    as_before = _is_as_before(before, now)
    if as_before and not logs.debugging("exporter"):
        # To begin a line that nobody sees would cost as much as to send the request.
        return
    place = {**record.target.key._asdict(), "target": record.target.shown}
    if now.says:
        tell = log.debug if as_before else log.warning
        tell("probe succeeded, and the service says that it is degraded", **place, says=now.says, duration=now.duration)
        return
    if now.reason is None:
        tell = log.debug if as_before else log.info
        tell("probe succeeded", **place, duration=now.duration)
        return
    tell = log.debug if as_before else log.warning
    since = iso(record.failing_since if record.failing_since is not None else now.started)
    facts = {"reason": str(now.reason), "detail": now.detail, "duration": now.duration, "failing_since": since}
    tell("probe failed", **place, **facts, **({"needed_by": list(needed_by)} if needed_by else {}))


def _is_as_before(before: Result | None, now: Result) -> bool:
    if before is None:
        return now.success and not now.says
    return before.reason == now.reason and bool(before.says) == bool(now.says)
