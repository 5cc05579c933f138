"""The verdict on a stage: which answer, for which reason, in which words."""

from __future__ import annotations

import contextlib
import io
import math
import re
from pathlib import Path

import pytest

from deploywatch.verdict.evidence import Look
from deploywatch.verdict.judge import judge
from deploywatch.verdict.values import Answer, Confidence, Measured, Reason, Stage, Watched

PAGE = Path(__file__).parents[2] / "docs/verdict.md"

STAGE = Stage(lasts=900, stages=3, share=0.1)
NO_CONTROL = Stage(lasts=900, stages=3, control=False)
WELL, BAD, QUIET = Look(600, 0, 5400, 2), Look(600, 30, 5400, 2), Look(1, 0, 9, 0)
BEFORE = [Look(6000, count) for count in (3, 2, 1, 2) * 30]
DONE = 900.0


def errors(*looks: Look | None) -> Measured:
    return Measured("error_ratio", 0.005, looks, BEFORE)


def rise(*looks: Look | None) -> Measured:
    return Measured("rise(error_ratio)", 1.25, looks, BEFORE, relative=True)


def test_a_canary_that_is_proven_bad_on_two_looks_running_is_rolled_back_with_its_numbers() -> None:
    once, twice = (judge(STAGE, 60, [errors(WELL, *[BAD] * n)]) for n in (1, 2))
    assert (once.answer, twice.answer, twice.reason) == (Answer.HOLD, Answer.ROLL_BACK, Reason.PROVEN_BAD)
    (sentence,) = twice.sentences
    assert sentence == (
        "error_ratio: canary failed 60 of 1,800 requests, stable 6 of 16,200; "
        "worse than 0.5 % proven, wrong once in 100"
    )


def test_fewer_than_five_bad_requests_never_roll_back() -> None:
    looks = [Look(4, 4, 50, 0), Look(4, 0, 50, 0)]
    decision = judge(STAGE, 60, [errors(*looks)])
    assert decision.findings[0].log_e_bad > math.log(300)
    assert decision.answer == Answer.HOLD


def test_a_healthy_canary_is_promoted_when_its_stage_is_over_and_not_before() -> None:
    looks = [WELL] * 30
    before, after = (
        judge(STAGE, 600, [errors(*looks), rise(*looks)]),
        judge(STAGE, DONE, [errors(*looks), rise(*looks)]),
    )
    assert (before.answer, before.reason) == (Answer.HOLD, Reason.UNDECIDED)
    assert before.sentences == ("the stage has 5 min more",)
    assert (after.answer, after.reason, after.confidence.value) == (Answer.PROMOTE, Reason.PROVEN_GOOD, 1.0)
    assert "better than 0.5 % proven, wrong once in 20" in after.sentences[0]


def test_a_rise_over_the_control_rolls_back_though_the_absolute_limit_is_kept() -> None:
    looks = [Look(600, 2, 5400, 2)] * 30
    decision = judge(STAGE, DONE, [errors(*looks), rise(*looks)])
    assert decision.answer == Answer.ROLL_BACK
    (sentence,) = decision.sentences
    assert sentence == (
        "rise(error_ratio): canary failed 60 of 18,000 requests, stable 60 of 162,000; "
        "worse than stable proven, wrong once in 100, and worse than 1.25 times stable, wrong once in 10"
    )


def test_no_data_is_never_good() -> None:
    assert judge(STAGE, DONE, [errors(*[Look(0, 0, 0, 0)] * 30)]).answer == Answer.HOLD
    assert judge(STAGE, DONE, [errors(*[Look(0, 0, 5400, 2)] * 30)]).reason == Reason.GAP
    assert judge(STAGE, DONE, [errors()]).reason == Reason.MISSING_LOOKS
    assert judge(STAGE, DONE, []).reason == Reason.NO_LIMITS
    assert judge(STAGE, DONE, [rise(*[WELL] * 30)]).reason == Reason.UNDECIDED


@pytest.mark.parametrize("look", [Look(math.nan, 0, 9, 0), Look(9, -1, 9, 0), Look(9, 1), Look(9, 10, 9, 0)])
def test_what_is_no_count_is_an_error_even_if_the_rest_proves_the_canary_bad(look: Look) -> None:
    decision = judge(STAGE, DONE, [errors(*[BAD] * 29, look)])
    assert (decision.answer, decision.reason) == (Answer.ERROR, Reason.INVALID_COUNTS)
    assert "look 30" in decision.sentences[0]


def test_no_count_in_the_hour_before_is_an_error_too() -> None:
    decision = judge(STAGE, 60, [Measured("error_ratio", 0.005, [WELL], [Look(math.nan, 0)])])
    assert decision.sentences[0].startswith("error_ratio, look 1 of the hour before: requests: their number is nan")


def test_a_source_that_cannot_answer_is_an_error_and_rolls_nothing_back() -> None:
    decision = judge(STAGE, DONE, [errors(*[BAD] * 30)], problems=["Prometheus refused: 503"])
    assert (decision.answer, decision.reason) == (Answer.ERROR, Reason.SOURCE)
    assert decision.sentences == ("Prometheus refused: 503",)


def test_over_a_fifth_of_the_looks_missing_is_an_error_also_where_they_were_not_handed_in() -> None:
    assert judge(STAGE, DONE, [errors(*[WELL] * 24, *[None] * 6)]).answer == Answer.PROMOTE
    assert judge(STAGE, DONE, [errors(*[WELL] * 23, *[None] * 7)]).reason == Reason.MISSING_LOOKS
    assert judge(STAGE, DONE, [errors(*[WELL] * 15)]).reason == Reason.MISSING_LOOKS


def test_low_traffic_says_how_many_requests_are_needed_and_how_long_they_take() -> None:
    decision = judge(STAGE, DONE, [errors(*[QUIET] * 30)])
    assert (decision.answer, decision.reason) == (Answer.HOLD, Reason.LOW_TRAFFIC)
    needed = re.fullmatch(r"error_ratio: ([\d,]+) more requests, (\d+) h at this rate", decision.sentences[0])
    assert needed
    assert int(needed[2]) == math.ceil(int(needed[1].replace(",", "")) / 2 / 60)  # two requests a minute


def test_where_the_control_is_proven_bad_too_nothing_is_rolled_back_by_an_absolute_limit() -> None:
    decision = judge(STAGE, DONE, [errors(*[Look(600, 30, 5400, 270)] * 30)])
    assert (decision.answer, decision.reason) == (Answer.HOLD, Reason.CONTROL_BAD_TOO)
    assert "stable itself failed 8,100 of 162,000 requests" in decision.sentences[0]


def test_a_canary_with_another_share_of_the_traffic_than_planned_is_held() -> None:
    decision = judge(STAGE, DONE, [errors(*[Look(600, 0, 1200, 1)] * 30)])
    assert decision.reason == Reason.SHARE_MISMATCH
    assert decision.sentences == ("error_ratio: the canary has 33 % of the requests, planned is 10 %",)


@pytest.mark.parametrize(
    ("bad", "held"),
    [
        ([], True),
        ([None] * 9, True),
        ([False] * 9 + [True, None, True], True),
        ([True] * 9 + [False], False),
        ([False, True, True], False),
    ],
)
def test_a_watched_condition_holds_when_bad_or_unknown_in_three_looks_running(
    bad: list[bool | None], held: bool
) -> None:
    decision = judge(STAGE, DONE, [errors(*[WELL] * 30)], [Watched("cpu > 90%", bad)])
    assert (decision.reason == Reason.WATCH) is held


def test_a_gap_in_the_traffic_holds() -> None:
    decision = judge(STAGE, DONE, [errors(*[WELL] * 17, *[Look(0, 0, 10, 0)] * 13)])
    assert decision.reason == Reason.GAP


def test_after_three_times_the_stage_a_person_is_needed_and_the_reasons_stay() -> None:
    decision = judge(STAGE, 2700, [errors(*[QUIET] * 90)])
    assert (decision.reason, decision.also) == (Reason.NEEDS_PERSON, (Reason.LOW_TRAFFIC,))


def test_without_a_control_an_absolute_limit_rolls_back_and_a_change_holds() -> None:
    bad = Look(600, 30)
    rolled, held = (
        judge(NO_CONTROL, DONE, [errors(*[bad] * 30)]),
        judge(NO_CONTROL, DONE, [errors(*[WELL] * 30), rise(*[Look(600, 2, 5400, 2)] * 30)]),
    )
    assert rolled.answer == Answer.ROLL_BACK
    assert rolled.sentences[0].startswith("error_ratio: new version failed 900 of 18,000 requests; worse than 0.5 %")
    assert rolled.confidence.value == 0.6
    assert rolled.confidence.why_not_higher == ["at most 60 %: time of day not excluded"]
    assert (held.answer, held.reason) == (Answer.HOLD, Reason.NEEDS_PERSON)
    assert "time of day not excluded" in held.sentences[0]


def test_a_change_likely_but_not_proven_vetoes_a_promotion() -> None:
    looks = [Look(600, 1, 5400, 4)] * 30
    decision = judge(STAGE, DONE, [errors(*looks), rise(*looks)])
    assert decision.answer == Answer.HOLD
    assert decision.sentences[-1].endswith("but likely worse")


def test_the_answer_is_the_same_however_the_looks_before_the_last_stand() -> None:
    looks = [WELL, BAD, QUIET, WELL, BAD]
    assert judge(STAGE, 60, [errors(*looks, WELL, WELL)]) == judge(STAGE, 60, [errors(*looks[::-1], WELL, WELL)])


def test_confidence_says_why_it_is_not_higher() -> None:
    confidence = Confidence(coverage=0.9, agreement=0.5, sufficiency=0.4)
    assert confidence.value == pytest.approx(0.18)
    assert confidence.why_not_higher == [
        "90 % of the looks have counts",
        "50 % of the limits agree",
        "40 % of the requests needed were counted",
    ]


@pytest.mark.parametrize("elapsed", [math.nan, math.inf, -1])
def test_a_time_that_is_none_is_refused(elapsed: float) -> None:
    with pytest.raises(ValueError, match="some seconds"):
        judge(STAGE, elapsed, [errors(WELL)])


@pytest.mark.parametrize("chance", [0, 1, -0.1])
def test_a_chance_that_is_none_is_refused(chance: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Stage(lasts=1, false_rollback=chance)


def test_the_page_names_each_reason_and_its_example_prints_what_it_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"`{reason}`" not in page] == []
    match = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", page, re.DOTALL)
    assert match
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(match[1], {})  # noqa: S102 - the page's own example
    assert printed.getvalue() == match[2]


def test_each_test_that_the_pages_table_of_holes_names_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE.read_text())
    assert len(named) >= 16
    for file, name in named:
        assert f"def {name}(" in (PAGE.parents[1] / "tests" / file).read_text(), f"{file}::{name}"
