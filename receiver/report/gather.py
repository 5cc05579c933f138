"""Gathers the report on a deployment from the store; nothing else is asked, so that an old one reads as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection

from deploywatch.receiver.assessment.phase import phase
from deploywatch.receiver.deployments import assessments, earlier, ledger, looks, stages, verdicts
from deploywatch.receiver.deployments.assessments import StoredAssessment
from deploywatch.receiver.deployments.deployment import BAD, Deployment, Status
from deploywatch.receiver.deployments.stages import RunningStage
from deploywatch.receiver.deployments.verdicts import StoredVerdict
from deploywatch.receiver.report import bands, gaps
from deploywatch.receiver.report.schema import (
    Report,
    ReportDeployment,
    ReportLimit,
    ReportStage,
    ReportTrend,
    ReportVerdict,
)
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.verdict.values import Answer

TREND = 5
"""Assessments whose trend is shown: the enterprise document's figure."""
BEFORE = 5

Judged = Sequence[tuple[RunningStage, StoredVerdict | None]]


def report(connection: Connection, settings: ReceiverConfig, deployment_id: int, now: datetime) -> Report | None:
    """The report on a deployment as it stands; None where there is no such deployment."""
    deployment = ledger.find(connection, deployment_id)
    if deployment is None:
        return None
    begun = stages.of_deployment(connection, deployment_id)
    judged = [(stage, verdicts.newest(connection, stage.id)) for stage in begun]
    staged = len(settings.verification.plans_of(deployment.service, deployment.environment)) == 1
    newest = assessments.newest(connection, deployment_id)
    taken = {stage.id: looks.of_stage(connection, stage.id) for stage in begun}
    return {
        "generated_at": now.isoformat(),
        "sentence": sentence(deployment, judged),
        "phase": phase(deployment, begun, now, staged=staged),
        "deployment": deployment.to_json(),
        "verdict": _verdict(decisive(deployment, judged)),
        "stages": [_stage(stage, verdict) for stage, verdict in judged],
        "assessment": newest.to_json() if newest else None,
        "trend": [
            _trend(assessment) for assessment in assessments.recent(connection, deployment_id, limit=TREND)[::-1]
        ],
        "bands": bands.bands(connection, deployment, now),
        "recommendations": list(_recommendations(deployment, judged, newest)),
        "before": [_before(other) for other in earlier.those_before(connection, deployment, limit=BEFORE)],
        "unmeasured": list(
            gaps.unmeasured(judged, taken, newest, assessments.without_source(connection, deployment_id))
        ),
    }


def decisive(deployment: Deployment, judged: Judged) -> tuple[RunningStage, StoredVerdict] | None:
    """The verdict that a deployment stands on: the one that judged it bad, else the newest of its newest stage."""
    made = [(stage, verdict) for stage, verdict in judged if verdict is not None]
    # A later stage, or a later look, may say something milder; the deployment stays what it was judged to be.
    if deployment.verdict == BAD:
        bad = [(stage, verdict) for stage, verdict in made if verdict.answer is Answer.ROLL_BACK]
        return bad[0] if bad else None
    return made[-1] if made else None


def sentence(deployment: Deployment, judged: Judged) -> str:
    """The verdict in one sentence, with its numbers."""
    what = f"{deployment.service} {deployment.version} in {deployment.environment}"
    # The version that comes back was judged when it was deployed itself, if at all.
    if deployment.rollback_of is not None:
        return f"{what} is the rollback of deployment {deployment.rollback_of}, and was not judged"
    stood = decisive(deployment, judged)
    if stood is None:
        if deployment.verdict == BAD:
            return f"{what} was judged bad; the verdict is no longer stored"
        return f"{what} has no verdict: {'no look is over yet' if judged else 'none of its stages was begun'}"
    stage, verdict = stood
    numbers = verdict.sentences[0] if verdict.sentences else verdict.reason
    if deployment.verdict == BAD:
        return f"{what} was judged bad in stage {stage.name}: {numbers}"
    if stage.accepted_by is not None:
        return f"{what} goes on by the word of {stage.accepted_by} ({stage.accepted_why}), although: {numbers}"
    endings = {Answer.PROMOTE: "was promoted", Answer.HOLD: "holds", Answer.ERROR: "cannot be judged"}
    return f"{what} {endings.get(verdict.answer, 'was judged bad')} in stage {stage.name}: {numbers}"


def _verdict(stood: tuple[RunningStage, StoredVerdict] | None) -> ReportVerdict | None:
    if stood is None:
        return None
    stage, verdict = stood
    return {
        "stage": stage.name,
        "at": verdict.at.isoformat(),
        "answer": verdict.answer,
        "reason": verdict.reason,
        "sentences": list(verdict.sentences),
        "confidence": dict(verdict.confidence),
    }


def _stage(stage: RunningStage, verdict: StoredVerdict | None) -> ReportStage:
    return {
        "stage": stage.name,
        "share": stage.plan.share,
        "state": stage.state,
        "answer": verdict.answer if verdict else None,
        "reason": verdict.reason if verdict else None,
        "started_at": stage.started_at.isoformat(),
        "ended_at": stage.ended_at.isoformat() if stage.ended_at else None,
        "accepted_by": stage.accepted_by,
        "accepted_why": stage.accepted_why,
        "sentences": list(verdict.sentences) if verdict else [],
        "limits": [_limit(stage, finding, verdict.sentences) for finding in verdict.findings] if verdict else [],
    }


def _limit(stage: RunningStage, finding: Mapping[str, Any], sentences: Sequence[str]) -> ReportLimit:
    # Zeros stand in the counts where no control was asked for; shown, they would read as an idle old version.
    counts, beside = finding["counts"], stage.plan.control or finding["relative"]
    proven: Literal["bad", "good", "neither"] = "neither"
    if finding["bad"]:
        proven = "bad"
    elif finding["good"]:
        proven = "good"
    return {
        "name": finding["name"],
        "relative": finding["relative"],
        "limit": finding["limit"],
        "requests": counts["requests"],
        "bad": counts["bad"],
        "ratio": finding["ratio"],
        "control_requests": counts["control_requests"] if beside else None,
        "control_bad": counts["control_bad"] if beside else None,
        "proven": proven,
        "sentence": next((text for text in sentences if text.startswith(f"{finding['name']}:")), ""),
    }


def _trend(assessment: StoredAssessment) -> ReportTrend:
    return {
        "at": assessment.at.isoformat(),
        "phase": assessment.phase,
        "status": assessment.status,
        "score": assessment.score,
        "impact": assessment.impact,
        "confidence": assessment.confidence,
    }


def _before(deployment: Deployment) -> ReportDeployment:
    return {
        "id": deployment.id,
        "at": deployment.started_at.isoformat(),
        "version": deployment.version,
        "strategy": deployment.strategy,
        "status": deployment.status,
        "verdict": deployment.verdict,
        "success": deployment.success,
    }


_REASONS = {
    "needs_person": "decide whether it may go on: deploywatch deployments accept-hold {id} --why …, or roll it back",
    "low_traffic": "wait for more requests, or send more of the traffic to it",
    "control_bad_too": "look at what both versions need: it is not this deployment",
    "share_mismatch": "see to the routing: the share of the traffic is not as planned",
    "gap": "see whether the version is reached at all",
    "watch": "look at the condition that is bad or not measured",
    "source": "see to Prometheus; until then nothing is rolled back or promoted",
    "invalid_counts": "mend the query that the verdict names",
    "missing_looks": "see why looks are missing: failing queries, or late scrapes",
    "no_limits": "name limits under `verdict: fail:` in the policy",
}


# One that failed or was rolled back has an end already, and no stage can be begun any more.
_COULD_BE_JUDGED = (Status.RUNNING, Status.SUCCEEDED)


def _advice(stage: RunningStage, verdict: StoredVerdict) -> str:
    """What to do about a verdict that is no promotion and that nobody accepted; empty where nothing is."""
    if stage.accepted_by is not None or verdict.answer is Answer.PROMOTE:
        return ""
    return _REASONS.get(verdict.reason, "")


def _recommendations(
    deployment: Deployment, judged: Judged, newest: StoredAssessment | None
) -> Iterator[dict[str, Any]]:
    """What the verdict asks for, then what the assessment recommends."""
    stood = decisive(deployment, judged)
    recommendations = list(newest.details["recommendations"]) if newest else []
    running = deployment.status is not Status.ROLLED_BACK
    bad = deployment.verdict == BAD and running
    if not judged and deployment.rollback_of is None and deployment.status in _COULD_BE_JUDGED:
        text = f"nobody judges it: begin its stages (deploywatch deployments stage {deployment.id} NAME)"
        yield {"signal": "verdict", "text": text, "runbook": ""}
    # The assessment may have said it already, from the same verdict; twice the same advice reads like two troubles.
    if bad and not any(recommendation["signal"] == "verdict" for recommendation in recommendations):
        text = "roll back: the version is proven bad; see whether a brake holds the rollback"
        yield {"signal": "verdict", "text": text, "runbook": ""}
    if stood is not None and running and (advice := _advice(*stood)):
        yield {"signal": "verdict", "text": advice.format(id=deployment.id), "runbook": ""}
    # What was to be done about a version that is gone is no advice any more.
    if running:
        yield from recommendations
