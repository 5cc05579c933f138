"""What is usual is learned from four weeks, without what we know was not usual."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from deploywatch.receiver.assessment import learned
from deploywatch.receiver.assessment.learned import STEP, LeftOut, Usual, compare, hour_of_week, learn, merged
from deploywatch.receiver.assessment.measured import Degree
from tests.receiver.scene import HOUR, MINUTE, NOON

WEEK = timedelta(weeks=1)


def course(weeks: int = 4, *, at_noon: float = 100.0, otherwise: float = 20.0) -> Iterator[tuple[float, float]]:
    """A sample every five minutes: much at noon each day, little otherwise, a tenth up and down."""
    moment, number = NOON - weeks * WEEK, 0
    while moment < NOON:
        value = at_noon if moment.hour == 12 else otherwise
        yield moment.timestamp(), value * (1.1 if number % 2 else 0.9)
        moment, number = moment + STEP, number + 1


def usual_at_noon(left_out: list[LeftOut]) -> Usual:
    """What is usual in the hour from noon on the deployment's day of the week."""
    return learn(course(), left_out, NOON)[hour_of_week(NOON)]


def test_each_hour_of_the_week_has_its_median_and_mad() -> None:
    usual = learn(course(), [], NOON)
    assert sorted(usual) == list(range(168))
    noon, night = usual[hour_of_week(NOON)], usual[hour_of_week(NOON + 12 * HOUR)]
    assert (noon.samples, noon.weeks) == (48, 4)
    assert noon.median == pytest.approx(100)
    assert noon.mad == pytest.approx(10)
    assert night.median == pytest.approx(20)
    assert list(noon.band()) == pytest.approx([100 - 3 * 14.826, 100 + 3 * 14.826])


def test_a_value_is_an_anomaly_above_three_deviations_and_a_high_one_above_four() -> None:
    usual = learn(course(), [], NOON)
    medium, high = Degree.MEDIUM, Degree.HIGH
    for value, degree in ((144, None), (145, medium), (159, medium), (160, high), (40, high)):
        apart = compare(usual, NOON + 20 * MINUTE, value)
        assert apart is not None
        assert apart.degree is degree, value
    # At night the same value is unusual that is usual at noon.
    night = compare(usual, NOON + 12 * HOUR, 100)
    assert night is not None
    assert night.degree is Degree.HIGH


def test_a_week_with_an_incident_and_a_bad_deployment_is_not_learned_from() -> None:
    def disturbed() -> Iterator[tuple[float, float]]:
        for at, value in course():
            moment = datetime.fromtimestamp(at, NOON.tzinfo)
            bad = NOON - 2 * WEEK <= moment < NOON - 2 * WEEK + HOUR or NOON - WEEK <= moment < NOON - WEEK + HOUR
            yield at, 5000.0 if bad else value

    left_out = [
        LeftOut("incident 4", NOON - 2 * WEEK - MINUTE, NOON - 2 * WEEK + HOUR),
        LeftOut("deployment 2 (1.2.2)", NOON - WEEK, NOON - WEEK + HOUR),
    ]
    spoiled = learn(disturbed(), [], NOON)[hour_of_week(NOON)]
    clean = learn(disturbed(), left_out, NOON)[hour_of_week(NOON)]
    assert (clean.samples, clean.weeks) == (24, 2)
    assert clean.median == pytest.approx(100)
    assert spoiled.mad > 100 * clean.mad or spoiled.median > 10 * clean.median


def test_the_order_and_overlap_of_what_is_left_out_change_nothing() -> None:
    first = LeftOut("incident 1", NOON - WEEK, NOON - WEEK + 30 * MINUTE)
    second = LeftOut("deployment 1", NOON - WEEK + 10 * MINUTE, NOON - WEEK + HOUR)
    inside = LeftOut("incident 2", NOON - WEEK + 15 * MINUTE, NOON - WEEK + 20 * MINUTE)
    one, other = usual_at_noon([first, second, inside]), usual_at_noon([inside, second, first])
    assert one == other
    assert one.samples == 36
    (span,) = merged([second, inside, first])
    assert (span.since, span.until) == (first.since, second.until)
    assert span.what == "incident 1, deployment 1, incident 2"
    many = merged([LeftOut(f"incident {number}", NOON, NOON + HOUR) for number in range(9)])
    assert many[0].what.endswith("incident 4 and 4 more")


def test_one_week_alone_or_few_samples_are_not_what_is_usual() -> None:
    one_week = learn(course(1), [], NOON)
    assert compare(one_week, NOON, 10**6) is None
    few = [(at, value) for at, value in course() if at % 3600 == 0]
    assert learn(few, [], NOON)[hour_of_week(NOON)].samples == 4
    assert compare(learn(few, [], NOON), NOON, 10**6) is None
    assert compare({}, NOON, 1) is None


def test_what_is_no_number_is_no_value_and_older_samples_are_not_learned_from() -> None:
    samples = [(at, math.nan if number % 2 else value) for number, (at, value) in enumerate(course(8))]
    usual = learn(samples, [], NOON)[hour_of_week(NOON)]
    assert (usual.samples, usual.weeks) == (24, 4)
    known = learn(course(), [], NOON)
    assert compare(known, NOON, math.nan) is None
    assert compare(known, NOON, None) is None


def test_a_signal_that_stood_still_is_judged_by_its_limit_and_without_one_by_nothing() -> None:
    still = learn(((at, 0.0) for at, _ in course()), [], NOON)
    assert compare(still, NOON, 0.5) is None
    # 5 % of a limit of 2 % is one deviation.
    for value, degree in ((0.003, None), (0.0031, Degree.MEDIUM), (0.0041, Degree.HIGH)):
        apart = compare(still, NOON, value, bound=0.02)
        assert apart is not None
        assert apart.degree is degree
    steady = learn(((at, 50.0) for at, _ in course()), [], NOON)
    small = compare(steady, NOON, 57)
    assert small is not None
    assert small.degree is None


def test_four_weeks_in_steps_are_one_answer_of_prometheus() -> None:
    assert learned.SPAN / STEP < 11_000
