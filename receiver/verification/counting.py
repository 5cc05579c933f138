"""Looks taken: Prometheus is asked for the counts and the watched conditions of one interval of a stage.

What a query does not give as one whole number (no value, NaN, several series, less than nothing) is None, and never 0.
Trouble with Prometheus raises UnreachableError: then there is no look, and it is taken later, since what was counted at
a moment can be asked for afterwards.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deploywatch import logs
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.deployments.stages import Before, RunningStage
from deploywatch.receiver.verification import time_of_day
from deploywatch.receiver.verification.time_of_day import Usual
from deploywatch.verdict.evidence import Look
from deploywatch.verdict.plan import StagePlan
from deploywatch.verdict.plan_parts import Counts, Limit, Operator, Watch

log = logs.get("verification")

ANSWER_LIMIT = 64 * 1024**2
"""Bytes of an answer; a command may read more, and a receiver goes on living."""
_MOST_POINTS = 10_000
"""Prometheus gives at most 11,000 points of a series in one answer."""
_HOUR, _DAY = 3600.0, 86400.0
_ANSWERED_WITHIN = 1.0
"""Seconds that an answer may be on its way, by which every Prometheus seems to be behind."""


Span = tuple[float, float]
"""From one Unix time to another."""


@dataclass(frozen=True, slots=True)
class Times:
    """When looks of the past end: from `start` to `end`, Unix times, `step` seconds apart; none touches a span of
    `but`."""

    start: float
    end: float
    step: float
    but: tuple[Span, ...] = ()

    def counts(self, at: float) -> bool:
        """Whether the look that ends at this time is asked for."""
        return not any(first < at and at - self.step < last for first, last in self.but)


@dataclass(frozen=True, slots=True)
class Source:
    """The Prometheus that counts, with its time limit in seconds."""

    prometheus: Prometheus
    timeout: float

    async def numbers(self, query: str, at: float | None) -> list[float]:
        """The values that a query gave at a Unix time, or gives now; UnreachableError when the answer is none, or not
        whole."""
        try:
            async with asyncio.timeout(self.timeout):
                return [series.value for series in await self.prometheus.query(query, at=at, whole=True)]
        except TimeoutError as error:
            raise UnreachableError(f"Prometheus gave no answer within {self.timeout:g} s") from error

    async def count(self, query: str, at: float) -> int | None:
        """One whole number, or None where the answer is not that."""
        numbers = await self.numbers(query, at)
        return whole(numbers[0]) if len(numbers) == 1 else None


def source(context: Context) -> Source:
    """The Prometheus of the configuration; UnreachableError where it names none."""
    metrics = context.settings.prometheus
    if metrics is None:
        raise UnreachableError("no Prometheus is configured; name one in `prometheus.url`")
    prometheus = Prometheus(metrics.url.get_secret_value(), context.http, ANSWER_LIMIT)
    return Source(prometheus, metrics.timeout.total_seconds())


def whole(value: float) -> int | None:
    """A count, or None for what is none: NaN, infinite, negative, a fraction."""
    # Counts are differences of whole samples; what is a fraction was extrapolated, and is no count.
    if not math.isfinite(value) or value < 0 or abs(value - round(value)) > 1e-6 * max(1.0, value):
        return None
    return round(value)


async def scraped_until(asked: Source, now: datetime, look: float) -> datetime:
    """The time until which Prometheus can have scraped: now, or what its own clock says where that is behind.

    UnreachableError as from `numbers`, and where it is as much as a look (in seconds) behind.
    """
    (theirs,) = await asked.numbers("time()", None)
    behind = now.timestamp() - theirs
    # Asked for a time that is still to come it answers with what it has, and what comes later is counted nowhere.
    if behind >= look:
        raise UnreachableError(f"Prometheus's clock is {behind:.0f} s behind the receiver's; set both by NTP")
    return now - timedelta(seconds=behind) if behind > _ANSWERED_WITHIN else now


async def take(asked: Source, stage: RunningStage, number: int) -> StoredLook:
    """Take one look; UnreachableError when Prometheus does not answer, refuses, or warns that it has only a part."""
    ends_at = stage.ends_of(number)
    at, plan = ends_at.timestamp(), stage.plan
    counts = {limit.name: await _look(asked, limit, at, control=plan.control) for limit in plan.limits}
    watched = {watch.name: await state(asked, watch, at) for watch in plan.watch}
    return StoredLook(number, ends_at, counts, watched)


async def state(asked: Source, watch: Watch, at: float) -> bool | None:
    """Whether a condition holds for any of its series; None where it has no value, or one is none."""
    numbers = await asked.numbers(watch.query, at)
    # One series that is bad is bad, even where another has no value.
    if any(holding(watch.operator, value, watch.threshold) for value in numbers if not math.isnan(value)):
        return True
    return False if measured(numbers) else None


def measured(numbers: Sequence[float]) -> bool:
    """Whether a query gave a value, and each is a number: what was divided by nothing measures nothing."""
    return bool(numbers) and all(math.isfinite(number) for number in numbers)


def holding(operator: Operator, value: float, threshold: float) -> bool:
    """Whether a comparison of the policy holds."""
    match operator:
        case "<":
            return value < threshold
        case "<=":
            return value <= threshold
        case ">":
            return value > threshold
        case ">=":
            return value >= threshold
        case "==":
            return value == threshold
        case "!=":
            return value != threshold


async def before(asked: Source, stage: RunningStage, but: Sequence[Span] = ()) -> Before:
    """The control's looks of the hour before the stage, and without a control as many as the stage may have.

    They say how much bad requests scatter; without a control, a relative limit is compared with them. Looks that touch
    a span of `but` (Unix times) are left out: then another version ran that is known to be bad, and its trouble says
    nothing about how the control's bad requests scatter.
    """
    plan = stage.plan
    points = min(_MOST_POINTS, math.ceil(span_before(plan) / plan.look))
    end = stage.started_at.timestamp()
    earlier: dict[str, Sequence[tuple[int, int]]] = {}
    for limit in plan.limits:
        counts = limit.old if plan.control and limit.old is not None else limit.new
        # The last of them ends where the stage begins, and touches nothing of the new version.
        times = Times(end - (points - 1) * plan.look, end, plan.look, _widened(but, plan.scrape))
        earlier[limit.name] = await history(asked, counts, times)
    return earlier


async def usual(asked: Source, stage: RunningStage, but: Sequence[Span] = ()) -> dict[str, Usual]:
    """By relative limit of a stage without a control: what this hour of the day did on the days before."""
    plan, start = stage.plan, stage.started_at.timestamp()
    if plan.control:
        return {}
    hours = {}
    for limit in plan.limits:
        if not limit.relative:
            continue
        hours[limit.name] = time_of_day.usual([change async for change in _changes(asked, limit.new, plan, start, but)])
    return hours


async def _changes(
    asked: Source, counts: Counts, plan: StagePlan, start: float, but: Sequence[Span]
) -> AsyncIterator[float | None]:
    """The change of each day, the newest first, as far as Prometheus can tell: a verdict is not kept from being made by
    a store of old samples that is away."""
    for day in range(1, time_of_day.DAYS + 1):
        try:
            change = await _change(asked, counts, plan, start - day * _DAY, but)
        except UnreachableError as error:
            log.warning("what this hour does anyway cannot be asked", days_ago=day, reason=str(error))
            return
        yield change


async def _change(asked: Source, counts: Counts, plan: StagePlan, at: float, but: Sequence[Span]) -> float | None:
    """How the ratio changed from the hour before a moment to the hour after it; None on a day to leave out."""
    if any(first < at + _HOUR and at - _HOUR < last for first, last in but):
        return None
    step = max(plan.look, _HOUR / _MOST_POINTS)
    hours = [Times(end - _HOUR + step, end, step) for end in (at, at + _HOUR)]
    earlier, later = [await history(asked, counts, times) for times in hours]
    return time_of_day.change(earlier, later)


def span_before(plan: StagePlan) -> float:
    """Seconds of the time before a stage that are asked for."""
    return _HOUR if plan.control else max(_HOUR, plan.at_most)


def _widened(spans: Sequence[Span], scrape: float) -> tuple[Span, ...]:
    """What a version has counted is seen one scrape later, and its last requests end after it."""
    return tuple((start, end + 2 * scrape) for start, end in spans)


async def history(asked: Source, counts: Counts, times: Times) -> list[tuple[int, int]]:
    """Requests and bad ones of each look in the past; what is no count is left out."""
    requests, bad = [await _samples(asked, query, times) for query in (counts.requests, counts.bad)]
    pairs = [(whole(requests[at]), whole(bad[at])) for at in sorted(requests) if at in bad and times.counts(at)]
    return [(n, x) for n, x in pairs if n is not None and x is not None and x <= n]


async def _samples(asked: Source, query: str, times: Times) -> dict[float, float]:
    try:
        async with asyncio.timeout(asked.timeout):
            lines = await asked.prometheus.query_range(
                query, start=times.start, end=times.end, step=times.step, whole=True
            )
    except TimeoutError as error:
        raise UnreachableError(f"Prometheus gave no answer within {asked.timeout:g} s") from error
    # Several series mean that the query does not sum: to take the first would be to guess.
    return dict(lines[0].samples) if len(lines) == 1 else {}


async def _look(asked: Source, limit: Limit, at: float, *, control: bool) -> Look:
    requests, bad = await asked.count(limit.new.requests, at), await asked.count(limit.new.bad, at)
    if not control or limit.old is None:
        return Look(requests, bad)
    return Look(requests, bad, await asked.count(limit.old.requests, at), await asked.count(limit.old.bad, at))
