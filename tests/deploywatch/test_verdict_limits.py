"""The verdict at each of its bounds: what is just enough, what is not, and what that comes to in words."""

from __future__ import annotations

import math

import pytest

from deploywatch.verdict.evidence import Counts, Look, log_e_worse
from deploywatch.verdict.judge import judge
from deploywatch.verdict.values import Answer, Confidence, Decision, Finding, Measured, Reason, Stage, Watched

STAGE = Stage(lasts=900, stages=3, share=0.1)
WELL, BAD, QUIET, NOTHING = Look(600, 0, 5400, 2), Look(600, 30, 5400, 2), Look(1, 0, 9, 0), Look(0, 0, 0, 0)
BEFORE = [Look(6000, count) for count in (3, 2, 1, 2) * 30]


def errors(*looks: Look | None) -> Measured:
    return Measured("error_ratio", 0.005, looks, BEFORE)


def rise(*looks: Look | None, times: float = 1.25) -> Measured:
    return Measured("rise(error_ratio)", times, looks, BEFORE, relative=True)


def reasons(decision: Decision) -> set[Reason]:
    return {decision.reason, *decision.also}


def finding(*, requests: int = 300, needed: int | None = 100, bad: bool = False, good: bool = False) -> Finding:
    return Finding(
        "error_ratio", 0.005, False, Counts(requests), 1.0, 1.0, 0.0, 0.0, bad, good, control_bad=False, needed=needed
    )


def test_what_a_stage_is_judged_by_unless_it_says_otherwise() -> None:
    stage = Stage(lasts=900)
    assert (stage.stages, stage.share, stage.control, stage.look) == (1, None, True, 30.0)
    assert (stage.false_rollback, stage.false_promotion, stage.at_most) == (0.01, 0.05, None)
    assert (stage.most, Stage(lasts=900, at_most=1000).most) == (2700, 1000)


@pytest.mark.parametrize("chance", [-0.5, 0, 1, 1.5])
def test_a_chance_that_is_none_is_refused(chance: float) -> None:
    with pytest.raises(ValueError, match="false_rollback lies between"):
        Stage(lasts=1, false_rollback=chance)
    with pytest.raises(ValueError, match="false_promotion lies between"):
        Stage(lasts=1, false_promotion=chance)


def test_the_requests_counted_suffice_as_their_share_of_those_needed() -> None:
    assert finding().sufficiency == 0.75
    assert finding(bad=True).sufficiency == finding(good=True, needed=0).sufficiency == 1.0
    assert finding(needed=None).sufficiency == 0.0
    assert [finding(requests=counted, needed=0).sufficiency for counted in (0, 1)] == [0.0, 1.0]


def test_the_least_confidence_is_none_and_the_most_is_one() -> None:
    for given in (Decision(Answer.HOLD, Reason.WATCH, ()).confidence, judge(STAGE, 900, []).confidence):
        assert (given.coverage, given.agreement, given.sufficiency, given.value) == (0.0, 0.0, 0.0, 0.0)
    assert Confidence(1.0, 1.0, 1.0).most == judge(STAGE, 60, [errors(WELL)]).confidence.most == 1.0


def test_a_limit_that_speaks_for_another_answer_lowers_the_agreement() -> None:
    bad, well = [BAD] * 30, [WELL] * 30
    at_limit = [Look(600, 3, 5400, 27)] * 30
    assert judge(STAGE, 900, [errors(*bad), rise(*well)]).confidence.agreement == 0.5
    assert judge(STAGE, 900, [errors(*bad), errors(*well)]).confidence.agreement == 0.5
    held = judge(STAGE, 900, [errors(*at_limit), errors(*well), rise(*well), rise(*well)])
    assert (held.answer, held.confidence.agreement) == (Answer.HOLD, 0.75)
    assert judge(STAGE, 900, [errors(*well), rise(*well)]).confidence.agreement == 1.0


def test_a_comparison_needs_no_number_of_requests() -> None:
    looks = [QUIET] * 30
    decision = judge(STAGE, 900, [errors(*looks), rise(*looks)])
    alone = decision.findings[0].sufficiency
    assert 0 < alone < 1
    assert decision.confidence.sufficiency == pytest.approx((alone + 1) / 2)


@pytest.mark.parametrize(
    ("elapsed", "handed_in", "missing"),
    [(900, 23, False), (900, 22, True), (840, 21, False), (840, 20, True), (899, 22, False), (899, 21, True)],
)
def test_looks_may_be_two_late_before_they_are_missing(elapsed: float, handed_in: int, missing: bool) -> None:
    decision = judge(STAGE, elapsed, [errors(*[WELL] * handed_in)])
    assert (decision.reason is Reason.MISSING_LOOKS) is missing


def test_a_stage_that_begins_has_no_look_yet() -> None:
    decision = judge(STAGE, 0, [errors()])
    assert decision.answer is Answer.HOLD
    assert any(text.endswith("more requests, none came yet") for text in decision.sentences)
    assert judge(STAGE, 30, [errors(WELL)]).findings[0].coverage == 1.0
    with pytest.raises(ValueError, match="some seconds"):
        judge(STAGE, float("inf"), [errors()])


def test_evidence_against_each_of_all_limits_in_each_stage_has_to_be_that_much_stronger() -> None:
    seen = set()
    for requests in range(200, 2400, 4):
        limits = [errors(Look(requests, 14, 9 * requests, 0), NOTHING), errors(WELL, WELL)]
        found = judge(STAGE, 60, limits).findings[0]
        assert found.bad is (found.log_e_bad >= math.log(2 * 3 / 0.01))
        seen.add(found.bad)
    assert seen == {True, False}


@pytest.mark.parametrize("times", [1.01, 3.0])
def test_a_comparison_falls_when_it_is_worse_than_the_control_and_than_the_limit(times: float) -> None:
    seen = set()
    for bad in range(5, 60):
        for control_bad in range(70, 110, 7):
            look = Look(6000, bad, 54_000, control_bad)
            decision = judge(STAGE, 60, [rise(look, NOTHING, times=times)])
            (finding,) = decision.findings
            worse, beyond = log_e_worse([look], times, finding.dispersion)
            proven = worse >= math.log(3 / 0.01), beyond >= math.log(10)
            assert finding.bad is (proven == (True, True))
            likely = any(text.endswith("but likely worse") for text in decision.sentences)
            assert likely is (not finding.bad and beyond >= math.log(3))
            seen.add(proven)
    assert {(False, False), (True, True)} < seen


def test_five_bad_requests_are_enough_to_roll_back() -> None:
    assert judge(STAGE, 60, [errors(Look(6, 5, 54, 0), NOTHING)]).answer is Answer.ROLL_BACK
    assert judge(STAGE, 60, [errors(Look(6, 4, 54, 0), NOTHING)]).answer is Answer.HOLD


def test_how_long_it_takes_is_told_by_the_rate_until_now() -> None:
    (finding,) = judge(STAGE, 900, [errors(*[QUIET] * 29, Look(2, 0, 18, 0))]).findings
    assert finding.needed
    assert finding.minutes == pytest.approx(finding.needed / (31 / 900) / 60)


@pytest.mark.parametrize(("elapsed", "left"), [(400, 9), (300, 10), (295, 11), (899, 1)])
def test_what_is_left_of_a_stage_is_told_in_whole_minutes(elapsed: float, left: int) -> None:
    decision = judge(STAGE, elapsed, [errors(*[WELL] * int(elapsed // 30))])
    assert decision.sentences == (f"the stage has {left} min more",)


def test_three_fifths_of_the_looks_with_traffic_are_no_gap() -> None:
    for seen, gap in ((18, False), (17, True)):
        decision = judge(STAGE, 900, [errors(*[WELL] * seen, *[NOTHING] * (30 - seen))])
        assert (Reason.GAP in reasons(decision)) is gap


def test_a_watched_condition_says_whether_it_was_ever_measured() -> None:
    looks = errors(*[WELL] * 30)
    for bad, said in (
        ([None] * 9, "was never measured"),
        ([], "was never measured"),
        ([False] * 9 + [True, None, True], "is bad or not measured"),
    ):
        decision = judge(STAGE, 900, [looks], [Watched("cpu > 90%", bad)])
        assert decision.sentences == (f"cpu > 90% {said} in the last 3 looks",)


def test_a_version_at_its_limit_is_neither_proven_good_nor_bad() -> None:
    decision = judge(STAGE, 900, [errors(*[Look(600, 3, 5400, 27)] * 30)])
    assert (decision.answer, decision.reason, decision.also) == (Answer.HOLD, Reason.UNDECIDED, ())
    assert decision.sentences[0].endswith("neither worse nor better than 0.5 % proven")


def test_a_control_that_is_bad_too_is_the_only_reason_and_says_its_limit() -> None:
    decision = judge(STAGE, 900, [errors(*[Look(600, 30, 5400, 270)] * 30)])
    assert (decision.reason, decision.also) == (Reason.CONTROL_BAD_TOO, ())
    assert decision.sentences[0].endswith("requests; worse than 0.5 % proven")


@pytest.mark.parametrize(("elapsed", "asked"), [(2699, False), (2700, True), (5000, True)])
def test_a_person_is_asked_first_of_all_when_its_time_is_over(elapsed: float, asked: bool) -> None:
    limits = [errors(*[QUIET] * int(elapsed // 30))]
    decision = judge(STAGE, elapsed, limits, [Watched("cpu > 90%", [])])
    assert (decision.reason is Reason.NEEDS_PERSON) is asked
    if asked:
        assert decision.also == (Reason.WATCH, Reason.LOW_TRAFFIC)
        assert decision.sentences[0] == "no answer after 3 times the stage's time: accept or roll back"


def test_a_stage_can_say_itself_when_a_person_is_asked() -> None:
    decision = judge(Stage(lasts=900, at_most=1020), 1020, [errors(*[QUIET] * 34)])
    assert decision.sentences[0] == "no answer after 17 min: accept or roll back"


@pytest.mark.parametrize(
    ("share", "requests", "control", "differs"),
    [
        (0.5, 50, 50, False),
        (0.5, 50, 100, False),
        (0.5, 49, 100, True),
        (0.5, 100, 50, False),
        (0.5, 101, 50, True),
        (0.5, 1, 98, False),
        (0.5, 1, 99, True),
        (0.5, 200, 0, True),
        (0.5, 0, 200, True),
        (0.995, 150, 0, False),
        (0.1, 10, 90, False),
        (0, 100, 50, False),
        (1, 100, 50, False),
        (None, 100, 1, False),
    ],
)
def test_a_share_may_differ_from_its_plan_by_odds_of_two(
    share: float | None, requests: int, control: int, differs: bool
) -> None:
    decision = judge(Stage(lasts=900, share=share), 60, [errors(Look(requests, 0, control, 0))])
    assert (Reason.SHARE_MISMATCH in reasons(decision)) is differs
    without = judge(Stage(lasts=900, share=share, control=False), 60, [errors(Look(requests, 0, control, 0))])
    assert Reason.SHARE_MISMATCH not in reasons(without)


def test_a_canary_without_traffic_has_no_share() -> None:
    decision = judge(Stage(lasts=900, share=0.5), 60, [errors(Look(0, 0, 200, 0))])
    assert "error_ratio: the canary has 0 % of the requests, planned is 50 %" in decision.sentences
