"""What no test can do better: the most that one with a bounded share of false alarms finds of a fault by a time.

Who knows the control's ratio only from the same moments, so that the hour of the day cancels, judges by the share of
the bad requests that is the canary's. Of such tests the likelihood ratio is the best (Neyman and Pearson). The bound is
that of one which looks once, at that time, and knows the fault and the size of the clumps. Who has to find out and
looks every 30 s finds less: of those that know the fault and may look at any time, none needs fewer requests in the
mean than the likelihood ratio that is looked at each time (Wald).
"""

from __future__ import annotations

import math
from random import Random
from statistics import median

from bench.verdict.traffic import CANARY_SHARE, LOOK, Service, simulate


def most_found(service: Service, times: float, minutes: float, false: float) -> float:
    """The largest share of canaries with this fault that is found after so many minutes, where healthy ones are rolled
    back with a probability of at most `false`."""
    usual = service.rate * 60 * minutes * service.ratio / service.clump
    canary, control = usual * CANARY_SHARE * times, usual * (1 - CANARY_SHARE)
    both, share = canary + control, canary / (canary + control)
    most = int(both + 12 * math.sqrt(both) + 12)
    return sum(_poisson(both, clumps) * _found(clumps, share, false) for clumps in range(most))


def sequential(service: Service, times: float, false: float, runs: int = 2000) -> float:
    """The median of minutes in which who knows the fault and the size of the clumps finds it, looking every time.

    Proven on two looks running, as ours; infinite where it finds fewer than half. `false` as above.
    """
    share = CANARY_SHARE * times / (CANARY_SHARE * times + 1 - CANARY_SHARE)
    of_canary, of_control = math.log(share / CANARY_SHARE), math.log((1 - share) / (1 - CANARY_SHARE))
    random, ends = Random(f"{service} {times}"), []  # noqa: S311 - a simulation that can be repeated
    for _ in range(runs):
        log_ratio, before, end = 0.0, False, math.inf
        for number, look in enumerate(simulate(service, times, random).looks, 1):
            bad, control_bad = look.bad or 0, look.control_bad or 0
            log_ratio += (bad * of_canary + control_bad * of_control) / service.clump
            now = log_ratio >= -math.log(false)
            if before and now:
                end = number * LOOK / 60
                break
            before = now
        ends.append(end)
    return median(ends)


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
