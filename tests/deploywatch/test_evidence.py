"""What counts prove, and that they never prove what is not so more often than they say."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.verdict.evidence import (
    UNKNOWN_DISPERSION,
    Counts,
    Look,
    Tally,
    dispersion,
    log_e_bad,
    log_e_good,
    log_e_worse,
    requests_needed,
    total,
)

RUNS, LOOKS = 20_000, 40


def binomial(n: int, p: float) -> list[float]:
    """The probabilities of at most 0, 1, 2 … of n."""
    return list(accumulate(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)))


def mean(log_likelihood_ratios: list[float], scatter: float) -> float:
    return math.log(math.fsum(math.exp(one / scatter) for one in log_likelihood_ratios) / len(log_likelihood_ratios))


def triangle(times: float) -> float:
    """1 at three times the control, 0 at 1.25 and 16 times on a logarithmic scale, and 0.05 at least."""
    return max(0.05, min(math.log(times / 1.25) / math.log(3 / 1.25), math.log(16 / times) / math.log(16 / 3)))


def weighed(log_likelihood_ratios: list[tuple[float, float]], scatter: float) -> float:
    weights = math.fsum(weight for _, weight in log_likelihood_ratios)
    return math.log(math.fsum(weight * math.exp(one / scatter) for one, weight in log_likelihood_ratios) / weights)


def between(start: float, end: float, points: int) -> list[float]:
    return [start * (end / start) ** (i / points) for i in range(1, points + 1)]


@pytest.mark.parametrize(("prove", "end"), [(log_e_bad, 0.9), (log_e_good, 0.00001)])
@pytest.mark.parametrize(("requests", "bad"), [(400, 0), (400, 3), (1000, 40), (37.5, 1.5), (6, 6)])
@pytest.mark.parametrize("scatter", [1.0, 2.5])
def test_absolute_evidence_is_the_mean_likelihood_ratio_over_140_ratios_beyond_the_limit(
    prove: Callable[..., float], end: float, requests: float, bad: float, scatter: float
) -> None:
    ratios = between(0.02, end, 140)
    each = [bad * math.log(p / 0.02) + (requests - bad) * math.log((1 - p) / 0.98) for p in ratios]
    assert prove(requests, bad, 0.02, scatter) == pytest.approx(mean(each, scatter), rel=1e-9, abs=1e-9)


def log_likelihood(looks: list[Look], ratio: float) -> float:
    """Of which side each bad request fell on, when the version's ratio is so many times the control's."""
    each = 0.0
    for look in looks:
        n, x, m, y = look.requests or 0, look.bad or 0, look.control_requests or 0, look.control_bad or 0
        share = ratio * n / (ratio * n + m)
        each += x * math.log(share) + y * math.log(1 - share)
    return each


@pytest.mark.parametrize("times", [0.8, 1.0, 1.25, 2.0])
@pytest.mark.parametrize("scatter", [1.0, 2.5])
def test_the_evidence_of_a_comparison_is_the_mean_likelihood_ratio_over_48_ratios_most_of_it_about_three_times(
    times: float, scatter: float
) -> None:
    counted = [Look(100, 3, 900, 9), Look(250, 0, 800, 2), Look(90, 5, 700, 0), Look(400, 1, 50, 2)]
    least = min(1.0, times)
    ratios = between(least, 16.0, 48)
    worse = [(log_likelihood(counted, r) - log_likelihood(counted, least), triangle(r)) for r in ratios]
    beyond = [(log_likelihood(counted, r) - log_likelihood(counted, times), triangle(r)) for r in ratios if r > times]
    expected = (weighed(worse, scatter), weighed(beyond, scatter))
    assert log_e_worse(counted, times, scatter) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("look", [Look(0, 0, 50, 3), Look(50, 3, 0, 0), Look(50, 0, 50, 0), Look(50, 3), Look(None, 0)])
def test_a_look_without_traffic_on_both_sides_or_without_a_bad_request_says_nothing(look: Look) -> None:
    tally = Tally(1.25)
    tally.add(look)
    assert tally.log_e() == (0, 0)


def test_sums_ratio_and_share_of_what_was_counted() -> None:
    counts = total([Look(100, 3, 260, 5), Look(60.0, 1), Look(None, None, 40, 7)])
    assert counts == Counts(160, 4, 300, 12)
    assert (counts.ratio, counts.share) == (0.025, 160 / 460)
    assert (Counts().ratio, Counts().share, Counts(0, 0, 5).share) == (0, None, 0)
    assert (Counts(), Counts(3)) == (Counts(0, 0, 0, 0), Counts(3, 0, 0, 0))


def test_the_dispersion_is_chi_square_a_degree_of_freedom() -> None:
    # Expected are 8, 8, 4 and 20 of 40 bad in 2000: variances 7.84, 7.84, 3.92 and 19.6.
    control = [Look(400, 2), Look(400, 8), Look(0, 0), Look(200, 10), Look(1000, 20)]
    assert dispersion(control) == pytest.approx((36 / 7.84 + 0 + 36 / 3.92 + 0) / 3)
    assert dispersion([Look(500, 5), Look(500, 5)]) == 1


@pytest.mark.parametrize(("limit", "bad"), [(0.00001001, 0), (0.8999, 1)])
def test_a_limit_just_within_its_bounds_is_taken(limit: float, bad: int) -> None:
    assert math.isfinite(log_e_bad(10, bad, limit))


@pytest.mark.parametrize("limit", [0.00001, 0.9])
@pytest.mark.parametrize("evidence", [log_e_bad, log_e_good])
def test_a_limit_at_a_bound_is_refused(evidence: Callable[..., float], limit: float) -> None:
    with pytest.raises(ValueError, match=r"a limit lies between 1e-05 and 0\.9, not "):
        evidence(10, 1, limit)


def test_evidence_that_is_just_enough_is_enough() -> None:
    assert requests_needed(300, 1, 0.02, 1.0, log_e_good(300, 1, 0.02, 1.0)) == 0


def test_a_ratio_to_the_control_just_within_its_bounds_is_taken() -> None:
    for times in (0.001, 15.9):
        assert all(map(math.isfinite, log_e_worse([Look(10, 1, 90, 4)], times)))


@pytest.mark.parametrize(
    ("requests", "bad", "limit"), [(100, 0, 0.02), (0, 0, 0.5), (60, 1, 0.05), (100, 4, 0.1), (20, 2, 0.5)]
)
def test_of_few_requests_not_one_more_than_needed_is_asked_for(requests: int, bad: int, limit: float) -> None:
    needed = requests_needed(requests, bad, limit, 1.0, 3.0)
    share = bad / requests if requests else 0
    assert needed is not None
    assert log_e_good(requests + needed, bad + needed * share, limit) >= 3.0
    assert needed == 0 or log_e_good(requests + needed - 1, bad + (needed - 1) * share, limit) < 3.0


def test_a_small_limit_needs_very_many_requests() -> None:
    needed = requests_needed(0, 0, 0.00005, 1.0, 3.0)
    assert needed is not None
    assert needed > 50_000
    assert log_e_good(needed, 0, 0.00005) >= 3.0


def test_the_dispersion_counts_in_the_requests_that_are_needed() -> None:
    assert requests_needed(0, 0, 0.5, 1.0, 3.0) != requests_needed(0, 0, 0.5, 2.0, 3.0)
    assert requests_needed(50, 0, 0.5, 1.0, 3.0) == 0


@pytest.mark.parametrize("evidence", [log_e_bad, log_e_good])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_what_is_true_is_refuted_no_more_often_than_alpha_says_though_one_looks_every_time(
    evidence: object, alpha: float
) -> None:
    prove = log_e_bad if evidence is log_e_bad else log_e_good
    n, limit, random, sums = 60, 0.02, Random(17), binomial(60, 0.02)  # noqa: S311 - seeded, for a simulation

    @cache
    def proven(requests: int, bad: int) -> bool:
        return prove(requests, bad, limit) >= -math.log(alpha)

    wrong = 0
    for _ in range(RUNS):
        bad = 0
        for look in range(1, LOOKS + 1):
            bad += bisect(sums, random.random())
            if proven(n * look, bad):
                wrong += 1
                break
    assert 0 < wrong / RUNS <= alpha


@pytest.mark.parametrize(("times", "index"), [(1.0, 0), (1.25, 1)])
def test_a_canary_that_is_no_worse_than_allowed_is_proven_worse_no_more_often_than_alpha_says(
    times: float, index: int
) -> None:
    # Of two bad requests in each look, the canary's share is what its ratio and its traffic make it.
    n, m, alpha, random = 100, 300, 0.05, Random(18)  # noqa: S311 - seeded, for a simulation
    sums = binomial(2, times * n / (times * n + m))

    @cache
    def proven(looks: int, bad: int) -> bool:
        at_once = Look(n, bad, m, 2 * looks - bad)
        return log_e_worse([at_once], 1.25)[index] >= -math.log(alpha)

    wrong = 0
    for _ in range(RUNS):
        bad = 0
        for look in range(1, LOOKS + 1):
            bad += bisect(sums, random.random())
            if proven(look, bad):
                wrong += 1
                break
    assert 0 < wrong / RUNS <= alpha


looks = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 20), st.integers(0, 20)).map(
        lambda counts: Look(counts[0], min(counts[2], counts[0]), counts[1], min(counts[3], counts[1]))
    ),
    max_size=30,
)


@given(looks, st.randoms(use_true_random=False))
def test_the_order_of_looks_changes_nothing(given_looks: list[Look], random: Random) -> None:
    shuffled = list(given_looks)
    random.shuffle(shuffled)
    assert log_e_worse(shuffled, 1.25, 1.7) == log_e_worse(given_looks, 1.25, 1.7)
    assert total(shuffled) == total(given_looks)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=30))
def test_looks_with_equal_traffic_shares_may_be_grouped(bads: list[tuple[int, int]]) -> None:
    apart = [Look(50, x, 450, y) for x, y in bads]
    together = [Look(50 * len(bads), sum(x for x, _ in bads), 450 * len(bads), sum(y for _, y in bads))]
    assert log_e_worse(apart, 1.25) == pytest.approx(log_e_worse(together, 1.25), abs=1e-8)


@given(st.integers(1, 5000), st.data())
def test_more_bad_requests_never_speak_for_a_version(n: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, n - 1))
    assert log_e_bad(n, bad + 1, 0.01) > log_e_bad(n, bad, 0.01)
    assert log_e_good(n, bad + 1, 0.01) < log_e_good(n, bad, 0.01)
    few, more = (log_e_worse([Look(n, x, 3 * n, 5)], 1.25) for x in (bad, bad + 1))
    assert all(b > a for a, b in zip(few, more, strict=True))


def test_nothing_counted_proves_nothing() -> None:
    assert log_e_bad(0, 0, 0.01) == log_e_good(0, 0, 0.01) == 0
    assert log_e_worse([], 1.25) == log_e_worse([Look(0, 0, 50, 3), Look(50, 3, 0, 0)], 1.25) == (0, 0)


def test_the_hour_of_the_day_cancels_in_a_comparison_at_the_same_moments() -> None:
    # At night both fail 1 %, by day both 5 %, and the canary has most of its traffic by day.
    day_and_night = [Look(1000, 50, 1000, 50), Look(100, 1, 9000, 90)] * 20
    worse, _ = log_e_worse(day_and_night, 1.25)
    assert worse < 0


def test_clumps_count_once() -> None:
    single = [Look(1000, count) for count in (9, 11, 10, 8, 12, 10)]
    clumps = [Look(1000, count) for count in (0, 30, 0, 0, 30, 0)]
    assert dispersion(single) == 1
    assert dispersion(clumps) > 10
    assert log_e_bad(1000, 30, 0.01, dispersion(clumps)) < log_e_bad(1000, 30, 0.01, dispersion(single))


def test_ten_bad_requests_of_the_control_in_two_looks_are_enough() -> None:
    assert dispersion([Look(1000, 4), Look(1000, 6)]) == 1
    assert dispersion([Look(1000, 4), Look(1000, 5), Look(None, 0)]) == UNKNOWN_DISPERSION == 2


@pytest.mark.parametrize(
    "before", [[], [Look(1000, 9)], [Look(1000, 30)], [Look(1000, 4), Look(1000, 5)], [Look(5, 5), Look(6, 6)]]
)
def test_too_few_bad_requests_of_the_control_leave_the_dispersion_unknown(before: list[Look]) -> None:
    assert dispersion(before) == UNKNOWN_DISPERSION


def test_the_requests_needed_suffice_and_not_many_fewer_do() -> None:
    target = math.log(20)
    needed = requests_needed(100, 0, 0.005, 1.0, target)
    assert needed is not None
    assert needed > 0
    assert log_e_good(100 + needed, 0, 0.005) >= target
    assert log_e_good(100 + needed * 0.99 - 2, 0, 0.005) < target


def test_no_number_of_requests_proves_a_version_good_that_is_at_its_limit() -> None:
    assert requests_needed(1000, 10, 0.01, 1.0, math.log(20)) is None


def test_without_a_request_the_number_needed_is_that_of_a_version_which_never_fails() -> None:
    none_yet = requests_needed(0, 0, 0.01, 1.0, math.log(20))
    assert none_yet is not None
    assert log_e_good(none_yet, 0, 0.01) >= math.log(20) > log_e_good(none_yet - 2, 0, 0.01)


@pytest.mark.parametrize("limit", [0, 1e-6, 0.95, 1.5])
def test_a_limit_that_no_ratio_can_pass_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="a limit lies between"):
        log_e_bad(10, 1, limit)


@pytest.mark.parametrize("times", [0, -1, 16, 40])
def test_a_comparison_that_no_ratio_can_pass_is_refused(times: float) -> None:
    with pytest.raises(ValueError, match="a ratio to the control"):
        Tally(times)


@pytest.mark.parametrize(
    "look",
    [
        Look(None, 0),
        Look(10, None),
        Look(math.nan, 0),
        Look(math.inf, 0),
        Look(10, -1),
        Look(-5, 0),
        Look(10, 1.5),
        Look(10, 11),
        Look(True, 0),
    ],
)
def test_what_is_no_count_is_a_fault(look: Look) -> None:
    assert look.faults(control=False)


def test_a_fault_says_what_is_wrong_with_which_count() -> None:
    assert Look(10, 11).faults(control=False) == ["requests: 11 bad ones of only 10"]
    assert Look(-1, 0.5).faults(control=False) == [
        "requests: their number is -1, not a count",
        "requests: the number of bad ones is 0.5, not a count",
    ]
    assert Look(10, 1, None, 0).faults(control=True) == [
        "the control's requests: their number has no value",
    ]
    assert Look(10, 10, 5, 6).faults(control=True) == ["the control's requests: 6 bad ones of only 5"]
    assert Look(0, 0, 5, 5).faults(control=True) == []


def test_counts_are_no_fault_as_whole_floats_and_a_control_is_asked_of_only_where_there_is_one() -> None:
    assert Look(10.0, 1).faults(control=False) == []
    assert len(Look(10, 1).faults(control=True)) == 2
