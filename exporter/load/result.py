"""What a load test measured: percentiles, errors, what a closed loop hides, and whether a difference is noise."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from deploywatch.exporter.load.run import Answer

SLICES = 10
"""Parts of a run that are looked at by themselves; how they differ is the noise."""

# Student's t for 95 %, by degrees of freedom; beyond, the normal's.
_T = {1: 12.7, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
_NORMAL = 1.96


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; NaN of nothing."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def corrected(answers: Sequence[Answer], users: int) -> list[float]:
    """The latencies with those that a stalled server kept from being asked, in order.

    A user who waits does not ask meanwhile. Had it gone on at the usual pace, the requests of that time would have
    waited too, each a little less than the one before. The usual pace is the median latency of the run.
    """
    latencies = sorted(answer.took for answer in answers)
    usual = percentile(latencies, 0.5)
    if not usual > 0 or users < 1:
        return latencies
    missed: list[float] = []
    for latency in latencies:
        left = latency - usual
        # A latency of a few times the usual is variance, not a stall.
        while latency > 3 * usual and left > 0:
            missed.append(left)
            left -= usual
    return sorted([*latencies, *missed])


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of a run; latencies in seconds, of all answers, failed ones included."""

    requests: int
    seconds: float
    users: int
    errors: dict[str, int]
    p50: float
    p90: float
    p95: float
    p99: float
    mean: float
    longest: float
    corrected_p95: float
    corrected_p99: float
    slices: tuple[float, ...]
    """The 95th percentile of each tenth of the run."""
    slice_rates: tuple[float, ...]
    """Requests per second of each tenth of the run."""

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(self.errors.values())

    @property
    def error_share(self) -> float:
        """The share of requests that failed; NaN of none."""
        return self.failed / self.requests if self.requests else math.nan

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds if self.seconds > 0 else math.nan


def _slices(answers: Sequence[Answer], seconds: float) -> list[list[float]]:
    """The latencies of each part of the run, by when they were sent."""
    parts: list[list[float]] = [[] for _ in range(SLICES)]
    for answer in answers:
        parts[min(SLICES - 1, int(answer.sent / seconds * SLICES) if seconds > 0 else 0)].append(answer.took)
    return parts


def measured(answers: Sequence[Answer], users: int, seconds: float) -> Result:
    """The figures of a run that took `seconds`."""
    latencies = sorted(answer.took for answer in answers)
    whole = corrected(answers, users)
    parts = _slices(answers, seconds)
    return Result(
        requests=len(answers),
        seconds=seconds,
        users=users,
        errors=dict(Counter(answer.error for answer in answers if answer.error).most_common()),
        p50=percentile(latencies, 0.50),
        p90=percentile(latencies, 0.90),
        p95=percentile(latencies, 0.95),
        p99=percentile(latencies, 0.99),
        mean=statistics.fmean(latencies) if latencies else math.nan,
        longest=latencies[-1] if latencies else math.nan,
        corrected_p95=percentile(whole, 0.95),
        corrected_p99=percentile(whole, 0.99),
        slices=tuple(percentile(sorted(part), 0.95) for part in parts if part),
        slice_rates=tuple(len(part) / (seconds / SLICES) for part in parts if seconds > 0),
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """How a figure differs from the baseline's, and by how much it would for no reason (95 %)."""

    name: str
    before: float
    now: float
    noise: float

    @property
    def within_noise(self) -> bool:
        """Whether chance alone explains it; what cannot be judged counts as such, and is said."""
        return not abs(self.now - self.before) > self.noise


def compare(before: Result, now: Result) -> list[Difference]:
    """The 95th percentile, requests per second and errors, beside the baseline's."""
    return [
        _difference("p95", before.slices, now.slices),
        _difference("requests/s", before.slice_rates, now.slice_rates),
        _errors(before, now),
    ]


def _difference(name: str, before: Sequence[float], now: Sequence[float]) -> Difference:
    if min(len(before), len(now)) < 2:
        return Difference(name, _mean(before), _mean(now), math.inf)
    spread = math.sqrt(statistics.variance(before) / len(before) + statistics.variance(now) / len(now))
    return Difference(name, _mean(before), _mean(now), _T.get(min(len(before), len(now)) - 1, _NORMAL) * spread)


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _errors(before: Result, now: Result) -> Difference:
    total = before.requests + now.requests
    if not before.requests or not now.requests:
        return Difference("errors", before.error_share, now.error_share, math.inf)
    # One more failure than there was, so that none of few proves nothing.
    share = (before.failed + now.failed + 1) / (total + 2)
    spread = math.sqrt(share * (1 - share) * (1 / before.requests + 1 / now.requests))
    return Difference("errors", before.error_share, now.error_share, _NORMAL * spread)


def as_data(result: Result) -> dict[str, Any]:
    """The figures as JSON has them: NaN as null."""
    data = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    data |= {"requests_per_second": result.rate, "error_share": result.error_share}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in data.items()}


def from_data(data: Any) -> Result:
    """A stored result; ValueError says what is wrong with it."""
    if not isinstance(data, dict):
        raise ValueError("is no result of deploywatch load; make one with --save")  # noqa: TRY004 - a bad file
    missing = [name for name in Result.__dataclass_fields__ if name not in data]
    if missing:
        raise ValueError(f"is no result of deploywatch load: it lacks {', '.join(missing)}; make one with --save")
    kept = {name: math.nan if data[name] is None else data[name] for name in Result.__dataclass_fields__}
    try:
        return msgspec.convert(kept, Result)
    except msgspec.ValidationError as error:
        raise ValueError(f"is no result of deploywatch load: {error}; make one with --save") from error
