"""What Prometheus says of a signal: good, bad, or nothing, which is neither."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.receiver.context import Context
from deploywatch.receiver.settings.prometheus import Metrics, Query, Signal


class State(StrEnum):
    """What a reading means."""

    GOOD = "good"
    BAD = "bad"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at one or several signals."""

    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class Streak:
    """For how long signals have been good: only the time between two good looks counts, silence adds nothing.

    `gaps` says whether there was silence since the last bad look.
    """

    lasted: timedelta = timedelta()
    seen: datetime | None = None
    gaps: bool = False

    def after(self, reading: Reading, now: datetime) -> Streak:
        """The streak after one more look; a bad one begins anew."""
        match reading.state:
            case State.GOOD:
                # The first good look proves a moment, and no time before it.
                passed = now - self.seen if self.seen is not None else timedelta()
                return Streak(self.lasted + passed, now, self.gaps)
            case State.SILENT:
                return replace(self, seen=None, gaps=True)
            case State.BAD:
                return Streak()


async def look(
    context: Context, metrics: Metrics | None, signals: Iterable[Signal], service: str, environment: str
) -> Reading:
    """All signals at once: bad when one is, good when all are, and silent when one says nothing."""
    readings = [await _one(context, metrics, signal, service, environment) for signal in signals]
    # Bad before silent: what is known to be bad does not become better by what is not known.
    for state in (State.BAD, State.SILENT):
        details = [reading.detail for reading in readings if reading.state is state]
        if details:
            return Reading(state, "; ".join(details))
    return Reading(State.GOOD, "; ".join(reading.detail for reading in readings))


async def values(
    context: Context, metrics: Metrics | None, query: Query, service: str, environment: str
) -> list[float]:
    """The numbers that a query gives now; UnreachableError when there is no answer."""
    if metrics is None:
        raise UnreachableError("no Prometheus is configured")
    try:
        async with asyncio.timeout(metrics.timeout.total_seconds()):
            prometheus = Prometheus(metrics.url.get_secret_value(), context.http)
            return [series.value for series in await prometheus.query(query.promql(service, environment))]
    except TimeoutError as error:
        raise UnreachableError("Prometheus gave no answer in time") from error


async def _one(context: Context, metrics: Metrics | None, signal: Signal, service: str, environment: str) -> Reading:
    wanted = f"{signal.op} {signal.limit:g}"
    try:
        series = await values(context, metrics, signal, service, environment)
    except UnreachableError as error:
        return Reading(State.SILENT, f"{signal.title}: {error}")
    # NaN is no traffic: it says neither good nor bad, and any comparison with it is false.
    numbers = [value for value in series if not math.isnan(value)]
    if not numbers:
        return Reading(State.SILENT, f"{signal.title} has no data")
    bad = [value for value in numbers if not signal.holds(value)]
    shown = bad[0] if bad else numbers[0]
    state = State.BAD if bad else State.GOOD
    return Reading(state, f"{signal.title} is {shown:.4g}, {'not ' if bad else ''}{wanted}")
