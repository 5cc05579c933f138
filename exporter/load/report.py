"""A load test as people read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploywatch.exporter.load.result import Difference, Result
from deploywatch.exporter.load.run import Answer

_BAR = 40
_BINS = 12


def text(result: Result, answers: Sequence[Answer], differences: Sequence[Difference] = ()) -> str:
    """The figures, the errors by reason, a histogram, and the comparison."""
    whole = f"p95 {_time(result.corrected_p95)}, p99 {_time(result.corrected_p99)}"
    figures = {name: getattr(result, name) for name in ("p50", "p90", "p95", "p99", "mean", "longest")}
    rate = f"{_number(result.rate)} per second"
    lines = [
        f"{result.requests} requests in {result.seconds:.1f} s by {result.users} users: {rate}",
        f"latency: {', '.join(f'{name} {_time(value)}' for name, value in figures.items())}",
        # "Coordinated omission": while an answer is late, the requests that would have met the same delay are not sent.
        f"a closed loop does not ask while it waits; with the requests of that time: {whole}",
        f"errors: {result.failed} ({_percent(result.error_share)})",
        *(f"  {count} x {reason}" for reason, count in result.errors.items()),
        *histogram([answer.took for answer in answers]),
        *(_compared(difference) for difference in differences),
    ]
    return "\n".join(lines)


def histogram(latencies: Sequence[float]) -> list[str]:
    """Latencies in bins that grow by the same factor each, a line a bin."""
    positive = [latency for latency in latencies if latency > 0]
    if not positive:
        return []
    low, high = min(positive), max(positive)
    # Bins grow by a factor: latencies span milliseconds to seconds, and equal bins would put nearly all into the first.
    factor = (high / low) ** (1 / _BINS) if high > low else 2.0
    counts = [0] * _BINS
    for latency in positive:
        counts[min(_BINS - 1, int(math.log(latency / low, factor))) if high > low else 0] += 1
    most = max(counts)
    return [
        f"  up to {_time(low * factor ** (number + 1)):>9} {'#' * math.ceil(count / most * _BAR):<{_BAR}} {count}"
        for number, count in enumerate(counts)
        if high > low or count
    ]


def _compared(difference: Difference) -> str:
    show = {"p95": _time, "errors": _percent}.get(difference.name, _number)
    change = f"{difference.name}: {show(difference.before)} before, {show(difference.now)} now"
    if math.isinf(difference.noise):
        return f"{change}; too few requests to say whether that is noise"
    if difference.within_noise:
        return f"{change}; within noise (up to {show(difference.noise)} either way)"
    return f"{change}; more than noise (up to {show(difference.noise)} either way)"


def _time(seconds: float) -> str:
    if math.isnan(seconds):
        return "none"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _percent(share: float) -> str:
    return "none" if math.isnan(share) else f"{share * 100:.2f} %"


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.1f}"
