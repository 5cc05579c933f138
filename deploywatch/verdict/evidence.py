"""Evidence from counts: how sure the requests that were counted make us that a version is bad, or good.

Each function returns the logarithm of an e-value. Where the hypothesis that it speaks against is true, the e-value
reaches 1/α with a probability of at most α, however often it is looked at (Ville's inequality); so a watcher may look
after every scrape and act at once. The hypotheses: `log_e_bad`, that at most `limit` of the requests are bad;
`log_e_good`, that at least `limit` are; `log_e_worse`, that the version's ratio is at most the control's at the same
moments, or at most so many times the control's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

# The alternatives that are mixed over: of no real service is less than one request in 100,000 bad for long, and none
# needs statistics at nine in ten. They may be chosen freely, as long as they are chosen before the counts are seen:
# that is what keeps the mixture an e-value.
LEAST_RATIO, MOST_RATIO, MOST_TIMES = 1e-5, 0.9, 16.0
# So fine that no ratio between two points loses evidence that matters; each further point costs time at each look. The
# comparison has fewer, because it is worked out anew for every look.
POINTS, TIMES_POINTS = 140, 48
LEAST_LIKELY, LIKELIEST, LEAST_WEIGHT = 1.25, 3.0, 0.05
"""Where a fault's ratio to the control is looked for: most of the stake is bet on three times, little on what is hardly
worse, or so bad that little evidence is enough. Any weights that are chosen beforehand keep the promise."""
# Requests fail in clumps: a pod restarts, a client retries. Twice as scattered as single coins is the cautious guess.
UNKNOWN_DISPERSION, ENOUGH_BAD = 2.0, 10
"""The dispersion that is assumed where the control had fewer bad requests than this: clumps can't be seen in so few."""

Count = int | float | None
"""A count as a source gave it, which may be none at all."""


@dataclass(frozen=True, slots=True, order=True)
class Look:
    """The counts of one interval: requests and the bad ones among them, the version's and, at the same moments, the
    control's. Without a control both of its counts are None."""

    requests: Count
    bad: Count
    control_requests: Count = None
    control_bad: Count = None

    def faults(self, *, control: bool) -> list[str]:
        """What is wrong with the counts: such a look is an error, never evidence."""
        pairs = [("requests", self.requests, self.bad)]
        if control:
            pairs.append(("the control's requests", self.control_requests, self.control_bad))
        return [fault for name, total, bad in pairs for fault in _faults(name, total, bad)]


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over looks; for absolute limits nothing else matters, so neither order nor grouping of the looks does."""

    requests: int = 0
    bad: int = 0
    control_requests: int = 0
    control_bad: int = 0

    @property
    def ratio(self) -> float:
        """The share of bad requests; 0 without requests."""
        return self.bad / self.requests if self.requests else 0.0

    @property
    def share(self) -> float | None:
        """The version's share of the traffic; None without traffic."""
        total = self.requests + self.control_requests
        return self.requests / total if total else None


def total(looks: Iterable[Look]) -> Counts:
    """Sums the counts of looks that have no faults."""
    sums = [0, 0, 0, 0]
    for look in looks:
        for i, count in enumerate((look.requests, look.bad, look.control_requests, look.control_bad)):
            # `faults` has refused what is no count; None is a control's that there is not.
            sums[i] += int(count or 0)
    return Counts(*sums)


def log_e_bad(requests: float, bad: float, limit: float, dispersion: float = 1.0) -> float:
    """The evidence that more than `limit` (a ratio) of the requests are bad."""
    return _absolute(requests, bad, limit, MOST_RATIO, dispersion)


def log_e_good(requests: float, bad: float, limit: float, dispersion: float = 1.0) -> float:
    """The evidence that less than `limit` (a ratio) of the requests are bad."""
    return _absolute(requests, bad, limit, LEAST_RATIO, dispersion)


def log_e_worse(looks: Iterable[Look], times: float, dispersion: float = 1.0) -> tuple[float, float]:
    """The evidence that the ratio is more than the control's, and that it is more than `times` the control's. Each look
    is compared within itself, so that the hour of the day cancels. Summed in a fixed order: the order of the looks
    changes not even the last digit."""
    tally = Tally(times)
    # Floating-point sums depend on their order, and a replica that takes over must come to the very same number. A look
    # without a bad request adds nothing to a comparison of who has the bad ones.
    for look in sorted(look for look in looks if look.bad or look.control_bad):
        tally.add(look)
    return tally.log_e(dispersion)


# Given how many bad requests there were in both, how many of them are the version's is a coin whose bias is known where
# it is as good as the control: its part of the traffic. So the error ratio itself, which nobody knows and which changes
# by the hour, drops out of the comparison.
class Tally:
    """The log likelihood of each ratio to the control, look by look: of the bad requests of a look, which part is the
    version's, given its part of the traffic."""

    __slots__ = ("_sums", "_terms", "_times", "_weights")

    def __init__(self, times: float) -> None:
        if not 0 < times < MOST_TIMES:
            raise ValueError(f"a ratio to the control lies between 0 and {MOST_TIMES:g}, not {times:g}")
        self._times = times
        # Index 0 is the hypothesis "exactly at the limit", against which `beyond` is measured.
        # The limit itself comes first, and each ratio is weighed against the control's own, or a limit below it.
        least = min(1.0, times)
        self._terms = [(r, math.log(r / least)) for r in (times, *_grid(least, MOST_TIMES, TIMES_POINTS))]
        self._weights = [_weight(r) for r, _ in self._terms]
        self._sums = [0.0] * len(self._terms)

    def add(self, look: Look) -> None:
        """Adds a look that has no faults; without traffic on both sides it says nothing."""
        n, x, m, y = look.requests or 0, look.bad or 0, look.control_requests or 0, look.control_bad or 0
        if not (n and m and x + y):
            return
        # The likelihood of x among x + y at the ratio r, over that at the base: (r·n)^x · m^y / (r·n + m)^(x + y).
        both, base, log = x + y, min(1.0, self._times) * n + m, math.log
        self._sums = [
            s + x * gain - both * log((r * n + m) / base) for s, (r, gain) in zip(self._sums, self._terms, strict=True)
        ]

    def log_e(self, dispersion: float = 1.0) -> tuple[float, float]:
        """The evidence of all looks that were added: worse than the control, worse than `times` the control."""
        at_limit, *sums = self._sums
        weights, rising = self._weights[1:], [r > self._times for r, _ in self._terms[1:]]
        beyond = [s - at_limit for s in compress(sums, rising)]
        worse = _log_mean_exp(sums, dispersion, weights)
        return worse, _log_mean_exp(beyond, dispersion, list(compress(weights, rising)))


def dispersion(before: Sequence[Look]) -> float:
    """How much more the control's bad requests of the hour before scatter than single ones would (χ² a degree of
    freedom), at least 1. Never of the version that is judged: clumps of its own would excuse it."""
    looks = [(int(look.requests or 0), int(look.bad or 0)) for look in before if look.requests]
    requests, bad = sum(n for n, _ in looks), sum(x for _, x in looks)
    # Where every request is bad the variance is 0, and nothing can be divided by it.
    if bad < ENOUGH_BAD or len(looks) < 2 or bad == requests:
        return UNKNOWN_DISPERSION
    ratio = bad / requests
    chi2 = math.fsum((x - n * ratio) ** 2 / (n * ratio * (1 - ratio)) for n, x in looks)
    # Below 1 it would be taken as more even than chance, and make the evidence stronger than it is.
    return max(1.0, chi2 / (len(looks) - 1))


def requests_needed(requests: int, bad: int, limit: float, dispersion: float, target: float) -> int | None:
    """How many more requests prove that the ratio is under the limit (`log_e_good` ≥ `target`), if as large a share of
    them is bad as until now; None if no number does, because the share is not under the limit."""
    ratio = bad / requests if requests else 0.0

    def proven(more: int) -> bool:
        return log_e_good(requests + more, bad + more * ratio, limit, dispersion) >= target

    if proven(0):
        return 0
    # Doubling, then halving: the evidence grows with the number of requests, so there is one place where it is enough.
    most = 1
    while not proven(most):
        most *= 2
        # A share that is at its limit is never proven under it; what took years of traffic is as good as never.
        if most > 10**12:
            return None
    least = most // 2
    # A thousandth is more exact than the share that it is worked out from.
    while most - least > max(1, most // 1000):
        middle = (least + most) // 2
        least, most = (least, middle) if proven(middle) else (middle, most)
    return most


def _absolute(requests: float, bad: float, limit: float, end: float, dispersion: float) -> float:
    if not LEAST_RATIO < limit < MOST_RATIO:
        raise ValueError(f"a limit lies between {LEAST_RATIO:g} and {MOST_RATIO:g}, not {limit:g}")
    # The mean over many alternatives, so that nobody must say beforehand how bad a bad version is.
    well = requests - bad
    return _log_mean_exp([bad * a + well * b for a, b in _terms(limit, end)], dispersion)


@lru_cache(maxsize=256)
def _terms(limit: float, end: float) -> list[tuple[float, float]]:
    """What a bad and a good request add to the log likelihood ratio, for each ratio between limit and end."""
    grid = _grid(limit, end, POINTS)
    # The hypothesis is composite (at most the limit); the limit itself is the hardest of it to tell apart, so that what
    # speaks against the limit speaks against all of it.
    return [(math.log(p / limit), math.log1p(-p) - math.log1p(-limit)) for p in grid]


def _grid(start: float, end: float, points: int) -> list[float]:
    """Points at equal distances of their logarithm, without the start."""
    step = math.log(end / start) / points
    return [start * math.exp(step * i) for i in range(1, points + 1)]


def _weight(times: float) -> float:
    """How much is bet on a ratio to the control: a triangle over its logarithm, with something everywhere."""
    if times < LIKELIEST:
        height = math.log(times / LEAST_LIKELY) / math.log(LIKELIEST / LEAST_LIKELY)
    else:
        height = math.log(MOST_TIMES / times) / math.log(MOST_TIMES / LIKELIEST)
    return max(LEAST_WEIGHT, height)


def _log_mean_exp(values: Sequence[float], dispersion: float, weights: Sequence[float] | None = None) -> float:
    # The largest is taken out before exp, which overflows beyond 709: a stage with many requests gets there. Divided by
    # the dispersion, n clumped requests count as n/φ independent ones.
    most, exp = max(values) / dispersion, math.exp
    weighed = zip(weights or [1.0] * len(values), values, strict=True)
    mean = math.fsum(weight * exp(value / dispersion - most) for weight, value in weighed)
    return most + math.log(mean / (math.fsum(weights) if weights else len(values)))


def _faults(name: str, requests: Count, bad: Count) -> list[str]:
    faults = [
        f"{name}: {what} has no value" if count is None else f"{name}: {what} is {count}, not a count"
        for what, count in (("their number", requests), ("the number of bad ones", bad))
        if not _is_count(count)
    ]
    if not faults and (bad or 0) > (requests or 0):
        faults.append(f"{name}: {bad} bad ones of only {requests}")
    return faults


def _is_count(value: Count) -> bool:
    # To Python, True is an int; to us it is a source that answered something else.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= 0 and (isinstance(value, int) or value.is_integer())
