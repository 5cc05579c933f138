"""What no test can do better: the most that one with a bounded share of false alarms finds of a fault by a time.

Who knows the control's ratio only from the same moments, so that the hour of the day cancels, judges by the share of
the bad requests that is the canary's. Of such tests the likelihood ratio is the best (Neyman and Pearson). The bound is
that of one which looks once, at that time, and knows the fault and the size of the clumps. Who has to find out and
looks every 30 s finds less.
"""

from __future__ import annotations

import math

from bench.verdict.traffic import CANARY_SHARE, Service


def most_found(service: Service, times: float, minutes: float, false: float) -> float:
    """The largest share of canaries with this fault that is found after so many minutes, where healthy ones are rolled
    back with a probability of at most `false`."""
    usual = service.rate * 60 * minutes * service.ratio / service.clump
    canary, control = usual * CANARY_SHARE * times, usual * (1 - CANARY_SHARE)
    both, share = canary + control, canary / (canary + control)
    most = int(both + 12 * math.sqrt(both) + 12)
    return sum(_poisson(both, clumps) * _found(clumps, share, false) for clumps in range(most))


def _found(clumps: int, share: float, false: float) -> float:
    """How often the best test speaks up, of so many clumps of which this share is the canary's."""
    found = accused = 0.0
    for of_canary in range(clumps, -1, -1):
        chance, faulty = (_binomial(clumps, p, of_canary) for p in (CANARY_SHARE, share))
        if accused + chance > false:
            return found + (false - accused) / chance * faulty
        accused, found = accused + chance, found + faulty
    return 1.0


def _binomial(of: int, share: float, count: int) -> float:
    return math.comb(of, count) * share**count * (1 - share) ** (of - count)


def _poisson(mean: float, count: int) -> float:
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
