"""Whether a deployment was a success: validated by us, whatever its pipeline says; pure.

The enterprise document asks for stable metrics and no regression over 24 hours. `validated` needs a verdict that let it
pass, an hour of watching at least, and a health that was mostly known and is well at the end; `refuted` says that it
was no success; `unproven` that nobody knows, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from deploywatch.receiver.assessment.measured import Status
from deploywatch.receiver.assessment.phase import FIRST_HOUR
from deploywatch.receiver.deployments.deployment import BAD, Deployment
from deploywatch.receiver.deployments.deployment import Status as DeploymentStatus
from deploywatch.receiver.rendering.filters import lasting
from deploywatch.verdict.values import Answer

LEAST_KNOWN = 0.6
"""The share of assessments whose status must be known."""
RUNNING = 3
"""Assessments running that are critical at the end are a regression; one alone may be a bad minute."""


class Success(StrEnum):
    """What we say of a deployment's success."""

    VALIDATED = "validated"
    REFUTED = "refuted"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found, and why."""

    success: Success
    why: str


def failed(deployment: Deployment) -> Validation | None:
    """Why a deployment was no success for certain; None while that is open."""
    if deployment.verdict == BAD:
        return Validation(Success.REFUTED, "it was judged bad")
    if deployment.status is DeploymentStatus.ROLLED_BACK:
        return Validation(Success.REFUTED, "it was rolled back")
    if deployment.status is DeploymentStatus.FAILED:
        return Validation(Success.REFUTED, "its pipeline says that it failed")
    return None


def validate(
    deployment: Deployment, statuses: Sequence[Status], ended: datetime | None, until: datetime, *, weighed: bool
) -> Validation:
    """What its watching has shown, which ends at `until`; `statuses` are those of its assessments, oldest first.

    `ended` is when it had all of the traffic; `weighed` says whether its policy weighs health at all.
    """
    if refuted := failed(deployment):
        return refuted
    # Several running: one bad look is no refutation of a day.
    if len(statuses) >= RUNNING and all(status is Status.CRITICAL for status in statuses[-RUNNING:]):
        return Validation(Success.REFUTED, f"its health was critical in the last {RUNNING} assessments")
    watched = until - ended if ended is not None else timedelta()
    lacks = _lacks(deployment, statuses, watched, weighed=weighed, finished=ended is not None)
    if lacks:
        return Validation(Success.UNPROVEN, "; ".join(lacks))
    word = "promoted" if deployment.verdict == Answer.PROMOTE else "accepted by a person"
    health = "well at the end" if weighed else "not weighed by its policy"
    return Validation(Success.VALIDATED, f"{word}, watched for {lasting(watched)}, its health {health}")


def _lacks(
    deployment: Deployment, statuses: Sequence[Status], watched: timedelta, *, weighed: bool, finished: bool
) -> list[str]:
    lacks = []
    if deployment.verdict not in (Answer.PROMOTE, "accepted"):
        lacks.append("no verdict let it pass")
    if not finished:
        lacks.append("nobody has finished it")
    elif watched < FIRST_HOUR:
        lacks.append(f"it was watched for {lasting(watched)} only")
    if not weighed:
        return lacks
    known = [status for status in statuses if status is not Status.UNKNOWN]
    if len(known) < LEAST_KNOWN * len(statuses) or not statuses:
        lacks.append(f"its health was known in {len(known)} of {len(statuses)} assessments")
    # The end counts: what was bad for an hour after the deployment, and then well, is well.
    elif known[-1] is not Status.HEALTHY:
        lacks.append(f"its health was {known[-1]} at the end")
    return lacks
