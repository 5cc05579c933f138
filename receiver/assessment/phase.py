"""The phase of a deployment, and when it is looked at next; pure.

The phases are the enterprise document's, and so are the intervals after a deployment: every minute in the first hour,
every 5 minutes for six hours, then every 15 minutes to 24 hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from deploywatch.receiver.assessment.measured import Status
from deploywatch.receiver.deployments.assessments import WATCHED_FOR
from deploywatch.receiver.deployments.deployment import BAD, Deployment
from deploywatch.receiver.deployments.deployment import Status as DeploymentStatus
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.verdict.values import Answer


class Phase(StrEnum):
    """Where a deployment is in its life."""

    PRE_DEPLOYMENT = "pre_deployment"
    DEPLOYMENT_ACTIVE = "deployment_active"
    POST_DEPLOYMENT = "post_deployment"
    VALIDATION = "validation"
    MONITORING = "monitoring"
    COMPLETED = "completed"
    FAILED = "failed"


FIRST_HOUR = timedelta(hours=1)
VALIDATED_AFTER = FIRST_HOUR + timedelta(hours=6)
AWAY_AT_MOST = timedelta(minutes=2)
# As often as a stage is looked at, so that verdict and assessment are of the same moments.
_STAGE, _AWAY_FIRST = timedelta(seconds=30), timedelta(seconds=30)
_EVERY = {
    Phase.POST_DEPLOYMENT: timedelta(minutes=1),
    Phase.VALIDATION: timedelta(minutes=5),
    Phase.MONITORING: timedelta(minutes=15),
}


def phase(deployment: Deployment, stages: Sequence[RunningStage], now: datetime, *, staged: bool) -> Phase:
    """The phase at a moment; `staged` says that its plan has stages, of which none may have begun yet."""
    if deployment.status in (DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK) or deployment.verdict == BAD:
        return Phase.FAILED
    if now < deployment.started_at:
        return Phase.PRE_DEPLOYMENT
    if any(stage.state is StageState.RUNNING for stage in stages):
        return Phase.DEPLOYMENT_ACTIVE
    end = ended_at(deployment, stages)
    if end is None:
        return Phase.PRE_DEPLOYMENT if staged and not stages else Phase.DEPLOYMENT_ACTIVE
    since = now - end
    if since < FIRST_HOUR:
        return Phase.POST_DEPLOYMENT
    if since < VALIDATED_AFTER:
        return Phase.VALIDATION
    return Phase.MONITORING if since < WATCHED_FOR else Phase.COMPLETED


def ended_at(deployment: Deployment, stages: Sequence[RunningStage]) -> datetime | None:
    """When a deployment had all of the traffic and was done; None while it goes on.

    Its pipeline's word, or, where that never came, the verdict on its last stage. A stage that was watched for longer
    ends later.
    """
    end = deployment.finished_at
    if end is None and deployment.verdict == Answer.PROMOTE:
        end = deployment.judged_at
    if end is None:
        return None
    return max((end, *(stage.ended_at for stage in stages if stage.ended_at is not None)))


def next_look(phase: Phase, status: Status, *, away: int = 0) -> timedelta:
    """How long until the next look.

    Half as long on warning and critical. `away` is how many looks running Prometheus gave no answer: then the time
    doubles from 30 s to 2 min, whatever the phase, since nobody knows.
    """
    if away:
        # Bounded before it is doubled: after a week without Prometheus the number would not fit a duration.
        return min(AWAY_AT_MOST, _AWAY_FIRST * (1 << min(away - 1, 10)))
    every = _EVERY.get(phase, _STAGE)
    return every / 2 if status in (Status.WARNING, Status.CRITICAL) else every
