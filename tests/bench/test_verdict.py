"""The verdict's benchmark runs, and its methods find what is plain."""

from __future__ import annotations

from random import Random

from bench.verdict.__main__ import FAULTS, measure, table
from bench.verdict.bound import most_found, sequential
from bench.verdict.methods import LIMITS, METHODS, RISE, STAGES, mann_whitney_high, ours
from bench.verdict.traffic import CANARY_SHARE, Service, simulate
from deploywatch.verdict.judge import judge
from deploywatch.verdict.values import Answer, Measured, Stage

SERVICE = Service(rate=200, ratio=0.01, clump=1)


def test_every_method_finds_a_plain_fault_and_its_table_has_a_row_for_each_service() -> None:
    row = measure(SERVICE, healthy=3, faulty=3)
    assert {name: outcome.found for name, outcome in row.faults[10].items()} == dict.fromkeys(METHODS, 1.0)
    assert row.false["deploywatch"] == row.false["Kayenta"] == 0
    text = table([row])
    assert text.count("| 200/s, 1 %, single |") == 1 + len(FAULTS)
    assert "Goals missed:" in text


def test_what_is_measured_as_ours_is_what_the_verdict_says_look_by_look() -> None:
    random = Random(5)  # noqa: S311 - seeded, for a simulation
    stage = Stage(lasts=900, stages=STAGES, share=CANARY_SHARE)
    ends = set()
    for times in (1, 2, 3, 5):
        service = Service(rate=20, ratio=0.01, clump=1)
        run = simulate(service, times, random)
        end = None
        for number in range(1, len(run.looks) + 1):
            looks = run.looks[:number]
            limits = [
                Measured("error_ratio", service.limit, looks, run.before),
                Measured("rise", RISE, looks, run.before, relative=True),
            ]
            assert len(limits) == LIMITS
            if judge(stage, 30 * number, limits).answer == Answer.ROLL_BACK:
                end = number
                break
        assert ours(service, run) == end
        ends.add(end)
    assert len(ends) > 1


def test_clumps_keep_the_ratio_and_come_together() -> None:
    run = simulate(Service(rate=200, ratio=0.01, clump=5), 1, Random(1))  # noqa: S311 - seeded, for a simulation
    bad = [int(look.bad or 0) for look in run.before]
    assert all(count % 5 == 0 for count in bad)
    assert 0.008 < sum(bad) / sum(int(look.requests or 0) for look in run.before) < 0.012


def test_mann_whitney_calls_high_what_lies_above_and_nothing_else() -> None:
    low, high = [i / 100 for i in range(20)], [1 + i / 100 for i in range(20)]
    assert mann_whitney_high(high, low)
    assert not mann_whitney_high(low, high)
    assert not mann_whitney_high(low, low)
    assert not mann_whitney_high([], low)


def test_what_is_plain_is_found_soon_by_who_knows_it_and_little_late() -> None:
    plain, hard = Service(200, 0.01, 1), Service(20, 0.001, 5)
    assert sequential(plain, 10, 1 / 600, runs=20) <= 2
    assert sequential(hard, 10, 1 / 600, runs=40) > 10
    assert most_found(plain, 10, 2, 1 / 600) > 0.99
