"""Plans, readings and deployments that the tests of assessments are made of."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from deploywatch.receiver.assessment.measured import Reading, Status
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.deployments.deployment import Status as DeploymentStatus
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.verdict import plan as verification_plan
from deploywatch.verdict.plan import Plan, StagePlan
from tests.receiver.scene import NOON

PLAN_FILE = Path(__file__).parents[3] / "rules" / "generated" / "enterprise" / "plans" / "enterprise.json"
ENTERPRISE: Plan = verification_plan.load(PLAN_FILE)
"""The plan of the enterprise document: its weights, thresholds and points."""
HEALTH = ENTERPRISE.health
_STATUS = {"h": Status.HEALTHY, "w": Status.WARNING, "c": Status.CRITICAL, "-": Status.UNKNOWN}


def readings(text: str, *, samples: int = 10) -> list[Reading]:
    """A reading of each signal of the enterprise plan; `h`, `w`, `c` or `-` each: error ratio, p99, CPU, memory, disk,

    drop of conversion, loss of revenue.
    """
    assert len(text) == len(HEALTH.signals)
    return [
        Reading(signal, _STATUS[word], 0.01 if word != "-" else None, samples if word != "-" else 0)
        for signal, word in zip(HEALTH.signals, text, strict=True)
    ]


def deployment(**more: Any) -> Deployment:
    """A deployment that began at noon and runs."""
    given: dict[str, Any] = {
        "id": 1,
        "service": "shop",
        "environment": "production",
        "version": "1.2.4",
        "previous_version": "1.2.3",
        "strategy": "canary",
        "deployer": "ci",
        "ports": (),
        "status": DeploymentStatus.RUNNING,
        "started_at": NOON,
        "finished_at": None,
        "rollback_of": None,
    }
    return Deployment(**{**given, **more})


def stage(state: StageState, *, began: timedelta = timedelta(), ended: timedelta | None = None) -> RunningStage:
    """A stage of that deployment."""
    plan = StagePlan(
        policy="enterprise",
        stage="canary-10",
        share=0.1,
        lasts=600,
        at_most=1800,
        stages=1,
        last=True,
        control=True,
        look=30,
        scrape=15,
        limits=(),
    )
    end: datetime | None = NOON + ended if ended is not None else None
    return RunningStage(1, 1, "canary-10", 1, plan, None, state, NOON + began, end)
