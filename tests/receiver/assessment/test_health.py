"""Score, coverage and status with the enterprise document's weights, and how sure that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploywatch.receiver.assessment import health
from deploywatch.receiver.assessment.confidence import confidence
from deploywatch.receiver.assessment.measured import Counted, Status
from tests.receiver.assessment.made import HEALTH, readings


def test_the_plan_has_the_documents_weights_by_kind() -> None:
    assert HEALTH.kinds == {
        "application": 0.35,
        "infrastructure": 0.25,
        "business": 0.25,
        "performance": 0.1,
        "security": 0.05,
    }
    whole = sum(signal.weight for signal in HEALTH.signals)
    of_kind = {kind: sum(s.weight for s in HEALTH.signals if s.kind == kind) / whole for kind in HEALTH.kinds}
    # Kinds without a signal leave their weight to the others.
    assert of_kind == pytest.approx(
        {"application": 35 / 85, "infrastructure": 25 / 85, "business": 25 / 85, "performance": 0, "security": 0}
    )


@pytest.mark.parametrize(
    ("statuses", "status", "score", "coverage"),
    [
        ("hhhhhhh", Status.HEALTHY, 1.0, 1.0),
        # One of the two application signals at warning costs half of half of 35 of 85.
        ("whhhhhh", Status.HEALTHY, 1 - 0.25 * 35 / 85, 1.0),
        ("wwwhhhh", Status.WARNING, 1 - (0.5 * 35 + 0.5 * 25 / 3) / 85, 1.0),
        ("hhhhhhc", Status.CRITICAL, 1 - 0.5 * 25 / 85, 1.0),
        # What has no value leaves its weight out of the score, and not in favour of it.
        ("hhhhh--", Status.HEALTHY, 1.0, 60 / 85),
        ("hh-----", Status.UNKNOWN, None, 35 / 85),
        # Little is known, and that is critical.
        ("c------", Status.CRITICAL, None, 17.5 / 85),
        ("-------", Status.UNKNOWN, None, 0.0),
    ],
)
def test_the_health_is_the_weighted_score_and_any_critical_signal_is_critical(
    statuses: str, status: Status, score: float | None, coverage: float
) -> None:
    overall = health.overall(readings(statuses), HEALTH)
    assert overall.status is status
    assert overall.coverage == pytest.approx(coverage)
    assert overall.score == (pytest.approx(score) if score is not None else None)


def test_a_kind_has_a_status_of_its_own_and_one_without_a_signal_is_unknown() -> None:
    kinds = {kind.kind: kind for kind in health.by_kind(readings("hhwcw--"), HEALTH)}
    assert {name: kind.status for name, kind in kinds.items()} == {
        "application": Status.HEALTHY,
        "infrastructure": Status.CRITICAL,
        "business": Status.UNKNOWN,
        "performance": Status.UNKNOWN,
        "security": Status.UNKNOWN,
    }
    assert (kinds["business"].signals, kinds["security"].signals) == (2, 0)


def test_confidence_is_coverage_times_agreement_times_sufficiency_and_says_what_would_raise_it() -> None:
    found = [replace(reading, samples=5) for reading in readings("hhhhh--")]
    limits = [Counted("error_ratio > 0.5%", 500, 1000), Counted("latency_p95 > 1s", 2000, 1000)]
    sure = confidence(health.overall(found, HEALTH), found, limits)
    assert sure.coverage == pytest.approx(60 / 85)
    assert sure.agreement == 1
    # Five signals have half of the ten samples, one limit has half of its requests, and one has all.
    assert sure.sufficiency == pytest.approx((5 * 0.5 + 0.5 + 1) / 7)
    assert sure.value == pytest.approx(60 / 85 * 4 / 7)
    assert sure.why_not_higher == [
        "70 % of the weight has a value",
        "57 % of the samples and requests needed were counted",
    ]


def test_signals_that_say_otherwise_lower_the_confidence() -> None:
    found = readings("chhhhhh")
    assert confidence(health.overall(found, HEALTH), found, []).value == pytest.approx(17.5 / 85)


def test_with_nothing_measured_or_nothing_that_would_decide_there_is_no_confidence() -> None:
    nothing = readings("-------")
    assert confidence(health.overall(nothing, HEALTH), nothing, [Counted("x", 9, 9)]).value == 0
    well = readings("hhhhhhh")
    undecidable = confidence(health.overall(well, HEALTH), well, [Counted("x", 10**6, None)])
    assert undecidable.sufficiency == pytest.approx(7 / 8)
