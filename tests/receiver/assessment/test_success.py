"""Whether a deployment was a success is our finding, and its pipeline's word is not enough."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from deploywatch.receiver.assessment.measured import Status
from deploywatch.receiver.assessment.success import Success, validate
from deploywatch.receiver.deployments.deployment import Status as DeploymentStatus
from tests.receiver.assessment.made import deployment
from tests.receiver.scene import HOUR, NOON

_WORD = {"h": Status.HEALTHY, "w": Status.WARNING, "c": Status.CRITICAL, "-": Status.UNKNOWN}
PROMOTED = {"status": DeploymentStatus.SUCCEEDED, "finished_at": NOON, "verdict": "promote"}


@pytest.mark.parametrize(
    ("given", "statuses", "watched", "success", "why"),
    [
        (PROMOTED, "hhhhh", 24 * HOUR, "validated", "promoted, watched for 1d, its health well at the end"),
        # A bad hour that passed is no regression.
        (PROMOTED, "hcccchh", 24 * HOUR, "validated", "promoted, watched for 1d, its health well at the end"),
        (PROMOTED, "hhhccc", 24 * HOUR, "refuted", "its health was critical in the last 3 assessments"),
        (PROMOTED, "hhhhcc", 24 * HOUR, "unproven", "its health was critical at the end"),
        (PROMOTED, "hhhw", 24 * HOUR, "unproven", "its health was warning at the end"),
        (PROMOTED, "hh-----", 24 * HOUR, "unproven", "its health was known in 2 of 7 assessments"),
        (PROMOTED, "", 24 * HOUR, "unproven", "its health was known in 0 of 0 assessments"),
        (PROMOTED, "hhh", 59 * HOUR / 60, "unproven", "it was watched for 59m only"),
        ({**PROMOTED, "verdict": "accepted"}, "hhh", HOUR, "validated", "accepted by a person, watched for 1h,"),
        ({**PROMOTED, "verdict": None}, "hhh", 24 * HOUR, "unproven", "no verdict let it pass"),
        ({**PROMOTED, "verdict": "roll_back"}, "hhh", 24 * HOUR, "refuted", "it was judged bad"),
        ({**PROMOTED, "status": DeploymentStatus.ROLLED_BACK}, "hhh", 24 * HOUR, "refuted", "it was rolled back"),
        ({**PROMOTED, "status": DeploymentStatus.FAILED}, "hhh", 24 * HOUR, "refuted", "its pipeline says"),
    ],
)
def test_what_is_said_of_a_deployments_success(
    given: dict[str, Any], statuses: str, watched: timedelta, success: str, why: str
) -> None:
    found = validate(deployment(**given), [_WORD[word] for word in statuses], NOON, NOON + watched, weighed=True)
    assert found.success == success
    assert found.why.startswith(why)


def test_where_the_policy_weighs_no_health_the_verdict_alone_speaks_and_that_is_said() -> None:
    success = validate(deployment(**PROMOTED), [], NOON, NOON + 24 * HOUR, weighed=False)
    assert (success.success, success.why) == (
        Success.VALIDATED,
        "promoted, watched for 1d, its health not weighed by its policy",
    )


def test_one_that_nobody_finished_is_unproven() -> None:
    success = validate(deployment(), [Status.HEALTHY] * 9, None, NOON + 24 * HOUR, weighed=True)
    assert success.why == "no verdict let it pass; nobody has finished it"
