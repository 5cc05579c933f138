"""The life of a deployment in phases, and how often it is looked at in each: the enterprise document's figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from deploywatch.receiver.assessment.measured import Status
from deploywatch.receiver.assessment.phase import Phase, ended_at, next_look, phase
from deploywatch.receiver.deployments.deployment import Status as DeploymentStatus
from deploywatch.receiver.deployments.stages import StageState
from tests.receiver.assessment.made import deployment, stage
from tests.receiver.scene import HOUR, MINUTE, NOON

FINISHED = {"status": DeploymentStatus.SUCCEEDED, "finished_at": NOON + 30 * MINUTE}


@pytest.mark.parametrize(
    ("given", "after", "expected"),
    [
        ({"started_at": NOON + HOUR}, timedelta(), Phase.PRE_DEPLOYMENT),
        ({}, MINUTE, Phase.PRE_DEPLOYMENT),
        (FINISHED, 31 * MINUTE, Phase.POST_DEPLOYMENT),
        (FINISHED, 90 * MINUTE - timedelta(seconds=1), Phase.POST_DEPLOYMENT),
        (FINISHED, 90 * MINUTE, Phase.VALIDATION),
        (FINISHED, 7.5 * HOUR, Phase.MONITORING),
        (FINISHED, 24.5 * HOUR - timedelta(seconds=1), Phase.MONITORING),
        (FINISHED, 24.5 * HOUR, Phase.COMPLETED),
        # Nobody finished it, and its last stage was promoted.
        ({"verdict": "promote", "judged_at": NOON + MINUTE}, 2 * MINUTE, Phase.POST_DEPLOYMENT),
        ({"status": DeploymentStatus.FAILED, "finished_at": NOON}, MINUTE, Phase.FAILED),
        ({"status": DeploymentStatus.ROLLED_BACK, "finished_at": NOON}, MINUTE, Phase.FAILED),
        # Its pipeline's word against the verdict.
        ({**FINISHED, "verdict": "roll_back"}, HOUR, Phase.FAILED),
    ],
)
def test_the_phase_follows_from_the_ledger(given: dict[str, Any], after: timedelta, expected: Phase) -> None:
    assert phase(deployment(**given), [], NOON + after, staged=True) is expected


def test_while_a_stage_runs_it_is_active_whatever_its_pipeline_says() -> None:
    running = [stage(StageState.RUNNING)]
    assert phase(deployment(), running, NOON + MINUTE, staged=True) is Phase.DEPLOYMENT_ACTIVE
    assert phase(deployment(**FINISHED), running, NOON + HOUR, staged=True) is Phase.DEPLOYMENT_ACTIVE
    assert phase(deployment(), [], NOON + MINUTE, staged=False) is Phase.DEPLOYMENT_ACTIVE


def test_a_stage_that_was_watched_for_longer_ends_the_deployment_later() -> None:
    stages = [stage(StageState.PROMOTED, ended=2 * HOUR)]
    assert ended_at(deployment(**FINISHED), stages) == NOON + 2 * HOUR


@pytest.mark.parametrize(
    ("in_phase", "seconds"),
    [
        (Phase.PRE_DEPLOYMENT, 30),
        (Phase.DEPLOYMENT_ACTIVE, 30),
        (Phase.POST_DEPLOYMENT, 60),
        (Phase.VALIDATION, 300),
        (Phase.MONITORING, 900),
        (Phase.FAILED, 30),
    ],
)
def test_it_is_looked_at_as_often_as_the_document_says_and_twice_as_often_when_it_is_bad(
    in_phase: Phase, seconds: int
) -> None:
    assert next_look(in_phase, Status.HEALTHY) == timedelta(seconds=seconds)
    assert next_look(in_phase, Status.UNKNOWN) == timedelta(seconds=seconds)
    for bad in (Status.WARNING, Status.CRITICAL):
        assert next_look(in_phase, bad) == timedelta(seconds=seconds / 2)


def test_while_prometheus_is_away_the_time_doubles_to_two_minutes_in_every_phase() -> None:
    for in_phase in Phase:
        waits = [next_look(in_phase, Status.UNKNOWN, away=away).total_seconds() for away in (1, 2, 3, 4, 500)]
        assert waits == [30, 60, 120, 120, 120]
