"""The methods that are compared; each says after how many looks it rolls a run back, None if it never does.

The others are modelled as their documentation and source say. All are given the same limit; none is told the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from bench.verdict.traffic import Run, Service
from deploywatch.verdict.evidence import Look, Tally, dispersion, log_e_bad
from deploywatch.verdict.holds import LEAST_BAD
from deploywatch.verdict.sentences import FALSE_OF_WORSE

Method = Callable[[Service, Run], int | None]

MINUTE = 2
"""Looks a minute."""
LIMITS, STAGES, FALSE_ROLLBACK, RISE = 2, 3, 0.01, 1.25
ENOUGH = math.log(LIMITS * STAGES / FALSE_ROLLBACK)


def ours(service: Service, run: Run) -> int | None:
    """deploywatch: two limits (the absolute one, and a rise of 25 % over the control), three stages, 1 % false
    rollbacks in all of them together. What `judge` does at each look, summed up look by look."""
    scatter, tally, limit = dispersion(run.before), Tally(RISE), service.limit
    n = x = m = y = 0
    before = (False, False)
    for number, look in enumerate(run.looks, 1):
        n, x, m, y = _add(n, x, m, y, look)
        tally.add(look)
        now = (_absolute(n, x, limit, scatter), x * m > y * n and _relative(tally, scatter))
        excused = now[0] and log_e_bad(m, y, limit, scatter) >= ENOUGH
        if x >= LEAST_BAD and ((before[0] and now[0] and not excused) or (before[1] and now[1])):
            return number
        before = now
    return None


def z_test(_service: Service, run: Run) -> int | None:
    """A test of two proportions at 1 %, repeated at each look."""
    n = x = m = y = 0
    for number, look in enumerate(run.looks, 1):
        n, x, m, y = _add(n, x, m, y, look)
        pooled = (x + y) / max(1, n + m)
        error = math.sqrt(pooled * (1 - pooled) * (1 / max(1, n) + 1 / max(1, m)))
        if error and (x / max(1, n) - y / max(1, m)) / error > 2.326:
            return number
    return None


def argo(minutes: int) -> Method:
    """Argo Rollouts: one measurement of the ratio in each interval, `failureLimit: 3`: the fourth failed one fails the
    analysis. The example in its documentation has an interval of 5 minutes."""
    return lambda service, run: _failed_checks(service, run, minutes, 4)


def flagger(service: Service, run: Run) -> int | None:
    """Flagger: a check a minute over the last minute; at the fifth failed one (`threshold: 5`) it rolls back."""
    return _failed_checks(service, run, 1, 5)


def kayenta(_service: Service, run: Run) -> int | None:
    """Kayenta's NetflixACAJudge: a point a minute, judged every 15 minutes over all since the start. Outliers are taken
    out, then Mann-Whitney at 98 %: bad if the shift's interval lies above a quarter of the estimated shift."""
    for judged in (30, 60, 90):
        points = [_ratios(run.looks[i : i + MINUTE]) for i in range(0, judged, MINUTE)]
        new = _without_outliers([a for a, _ in points if a is not None])
        old = _without_outliers([b for _, b in points if b is not None])
        if mann_whitney_high(new, old):
            return judged
    return None


METHODS: dict[str, Method] = {
    "deploywatch": ours,
    "z-test, peeking": z_test,
    "Argo, 5 min": argo(5),
    "Argo, 1 min": argo(1),
    "Flagger": flagger,
    "Kayenta": kayenta,
}


def mann_whitney_high(new: Sequence[float], old: Sequence[float]) -> bool:
    """Whether the new points are classified as high: lower end of the 98 % interval of the shift, from the ordered
    differences, against a quarter of the Hodges-Lehmann estimate."""
    n, m = len(new), len(old)
    if not n or not m:
        return False
    shifts = sorted(a - b for a in new for b in old)
    rank = math.floor(n * m / 2 - 2.326 * math.sqrt(n * m * (n + m + 1) / 12) - 0.5)
    if rank < 1:
        return False
    half = n * m // 2
    estimate = shifts[half] if n * m % 2 else (shifts[half - 1] + shifts[half]) / 2
    return shifts[rank - 1] > 0.25 * abs(estimate)


def _failed_checks(service: Service, run: Run, minutes: int, most: int) -> int | None:
    failed, size = 0, minutes * MINUTE
    for end in range(size, len(run.looks) + 1, size):
        ratio, _ = _ratios(run.looks[end - size : end])
        failed += ratio is not None and ratio > service.limit
        if failed == most:
            return end
    return None


def _ratios(looks: Sequence[Look]) -> tuple[float | None, float | None]:
    n, m = sum(_int(look.requests) for look in looks), sum(_int(look.control_requests) for look in looks)
    x, y = sum(_int(look.bad) for look in looks), sum(_int(look.control_bad) for look in looks)
    return x / n if n else None, y / m if m else None


def _without_outliers(values: list[float]) -> list[float]:
    """Kayenta's IQR detector with factor 3 and reduced sensitivity: the fences lie around the quartiles, or at the 5th
    and 95th percentile where these are wider."""
    if len(values) < 4:
        return values
    ordered = sorted(values)

    def percentile(share: float) -> float:
        return ordered[min(len(ordered) - 1, max(0, round(share * (len(ordered) + 1)) - 1))]

    width = 3 * (percentile(0.75) - percentile(0.25))
    low, high = min(percentile(0.05), percentile(0.25) - width), max(percentile(0.95), percentile(0.75) + width)
    return [value for value in values if low <= value <= high]


def _absolute(n: int, x: int, limit: float, scatter: float) -> bool:
    ratio = x / n if n else 0.0
    if ratio <= limit:
        return False
    # Cheaper first: no ratio explains the counts better than their own does.
    good = (n - x) * math.log((1 - ratio) / (1 - limit)) if x < n else 0.0
    most = (x * math.log(ratio / limit) + good) / scatter
    return most >= ENOUGH and log_e_bad(n, x, limit, scatter) >= ENOUGH


def _relative(tally: Tally, scatter: float) -> bool:
    worse, beyond = tally.log_e(scatter)
    return worse >= ENOUGH and beyond >= -math.log(FALSE_OF_WORSE)


def _add(n: int, x: int, m: int, y: int, look: Look) -> tuple[int, int, int, int]:
    return n + _int(look.requests), x + _int(look.bad), m + _int(look.control_requests), y + _int(look.control_bad)


def _int(count: float | None) -> int:
    return int(count or 0)
