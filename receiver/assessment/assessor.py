"""The assessor of a deployment: a leased job that measures its health, stores an assessment, and comes again.

It remembers nothing between its runs: phase, baselines and the time without Prometheus are read from the store, so that
`kill -9`, a restart or another replica changes nothing. It ends 24 hours after the deployment, or when that was
rolled back, failed, or overtaken; then it notes whether the deployment was a success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from deploywatch import logs
from deploywatch.conventions import ReceiverMetric
from deploywatch.errors import UnreachableError
from deploywatch.receiver.assessment import measuring, past, success
from deploywatch.receiver.assessment.anomalies import Baselines
from deploywatch.receiver.assessment.assess import Assessment, Known, assess
from deploywatch.receiver.assessment.learned import Usual
from deploywatch.receiver.assessment.measured import Counted, Measurement, Status
from deploywatch.receiver.assessment.measuring import Asked
from deploywatch.receiver.assessment.phase import AWAY_AT_MOST, Phase, ended_at, phase
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import assessments, ledger, stages, verdicts
from deploywatch.receiver.deployments.assessments import KIND, WATCHED_FOR, StoredAssessment, StoredBaseline
from deploywatch.receiver.deployments.deployment import BAD, Deployment
from deploywatch.receiver.deployments.deployment import Status as DeploymentStatus
from deploywatch.receiver.deployments.stages import RunningStage
from deploywatch.receiver.deployments.verdicts import StoredVerdict
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome, done, retry
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import counters
from deploywatch.receiver.verification import counting
from deploywatch.verdict.plan import Plan
from deploywatch.verdict.plan_parts import Recorded

__all__ = ["KIND", "handle"]

log = logs.get("assessment")


@dataclass(frozen=True, slots=True)
class _State:
    """What a run begins with."""

    deployment: Deployment
    newest: Deployment
    stages: Sequence[RunningStage]
    verdict: StoredVerdict | None
    last: StoredAssessment | None
    away: int
    statuses: Sequence[str]
    baselines: dict[str, StoredBaseline]


async def handle(context: Context, job: Job) -> Outcome:
    """Assess a deployment once, or note how it ended."""
    state = await context.store.read(lambda connection: _state(connection, job.payload["deployment"]))
    if state is None:
        return done("there is no such deployment any more")
    now, deployment = context.clock(), state.deployment
    plans = context.settings.verification.plans_of(deployment.service, deployment.environment)
    # Two plans weigh differently, and nobody has said which counts: then nothing is weighed, and that is said.
    plan = plans[0] if len(plans) == 1 else None
    # Before anything is asked of Prometheus: what is over is not measured any more.
    if over := _over(context, state, now):
        validated = _validation(state, plan, over.until)
        note = f"{over.note}: {validated.success}, {validated.why}"
        return done(note, lambda c: ledger.validated(c, deployment.id, validated.success, validated.why, now))
    measured, usual = await _measured(context, state, plan, now, len(plans))
    known = Known(
        phase=phase(deployment, state.stages, now, staged=plan is not None),
        judged_bad=deployment.verdict == BAD,
        counted=_counted(state.verdict),
        baselines=_baselines({**state.baselines, **{baseline.series: baseline for baseline in usual}}),
        away=state.away,
    )
    made = assess(plan.health if plan else Recorded(), measured, known, now)
    await context.store.write(
        partial(_store, settings=context.settings, state=state, made=made, usual=usual, plan=plan)
    )
    # Once for a trouble, not once for each look.
    if made.problem and (state.last is None or state.last.problem != made.problem):
        log.warning("a deployment could not be assessed", deployment=deployment.id, reason=made.problem)
    # A plan may come with the next configuration.
    return retry("until the next assessment", made.next_look if plan else AWAY_AT_MOST)


@dataclass(frozen=True, slots=True)
class _Over:
    note: str
    until: datetime


def _over(context: Context, state: _State, now: datetime) -> _Over | None:
    """Why a deployment is assessed no more, and until when it was there; None while it is."""
    deployment, newest = state.deployment, state.newest
    if newest.id != deployment.id:
        what = "rolled back" if newest.rollback_of == deployment.id else f"overtaken by {newest.version}"
        return _Over(f"{deployment.version} was {what}", newest.started_at)
    if deployment.status in (DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK):
        return _Over(f"{deployment.version} is {deployment.status}", now)
    ended = ended_at(deployment, state.stages)
    if ended is not None:
        over = phase(deployment, state.stages, now, staged=True) is Phase.COMPLETED or now - ended >= WATCHED_FOR
        return _Over("it was watched to its end", min(now, ended + WATCHED_FOR)) if over else None
    longest = max(context.settings.verification.watch, WATCHED_FOR)
    if now - deployment.started_at >= longest:
        return _Over("nobody has finished it, and it is watched no longer", now)
    return None


def _validation(state: _State, plan: Plan | None, until: datetime) -> success.Validation:
    ended = ended_at(state.deployment, state.stages)
    statuses = [Status(status) for status in state.statuses]
    weighed = plan is not None and bool(plan.health.signals)
    return success.validate(state.deployment, statuses, ended, until, weighed=weighed)


async def _measured(
    context: Context, state: _State, plan: Plan | None, now: datetime, plans: int
) -> tuple[Measurement, list[StoredBaseline]]:
    """What Prometheus says, and what was learned for the first time; why nothing is known, where it is not."""
    deployment = state.deployment
    if plan is None:
        how_many = "no verification plan covers" if plans == 0 else f"{plans} verification plans cover"
        return Measurement(problem=f"{how_many} {deployment.service} in {deployment.environment}"), []
    try:
        asked = Asked(counting.source(context), plan, deployment) if plan.health.signals else None
        if asked is None:
            return Measurement(), []
        measured = await measuring.measure(asked, now)
        return measured, await _learned(context, state, asked)
    except UnreachableError as error:
        return Measurement(problem=context.conceal(str(error))), []


async def _learned(context: Context, state: _State, asked: Asked) -> list[StoredBaseline]:
    """What is usual, where that was not learned yet."""
    # Learned once a deployment: what was usual before it does not change while it runs.
    missing = {signal.learn for signal in asked.plan.health.signals if signal.learn} - state.baselines.keys()
    if not missing:
        return []
    left_out = await context.store.read(lambda connection: past.left_out(connection, state.deployment))
    return await measuring.usual(asked, left_out, missing)


def _store(
    connection: Connection,
    *,
    settings: ReceiverConfig,
    state: _State,
    made: Assessment,
    usual: Sequence[StoredBaseline],
    plan: Plan | None,
) -> None:
    """Store an assessment, and what is certain of the deployment's success by now."""
    number, deployment = (state.last.number if state.last else 0) + 1, ledger.get(connection, state.deployment.id)
    if refuted := success.failed(deployment):
        ledger.validated(connection, deployment.id, refuted.success, refuted.why, made.at)
    assessments.keep_baselines(connection, deployment.id, usual, made.at)
    weighed = plan is not None and bool(plan.health.signals)
    if not weighed and state.last is not None and (state.last.phase, state.last.problem) == (made.phase, made.problem):
        return  # nothing can be measured by such a plan, or without one, so only a new phase is news
    row = StoredAssessment(
        deployment_id=deployment.id,
        number=number,
        at=made.at,
        phase=made.phase,
        status=made.health.status,
        score=made.health.score,
        coverage=made.health.coverage,
        impact=made.impact,
        impact_estimated=made.impact_estimated,
        confidence=made.confidence.value,
        problem=made.problem,
        details=made.details(),
        next_seconds=made.next_look.total_seconds(),
    )
    # Another replica may have stored this number a moment ago: then it has published and counted as well.
    if assessments.add(connection, row):
        if state.last is None or (state.last.status, state.last.phase) != (row.status, row.phase):
            emit(connection, settings, facts.assessment_completed(deployment, made.at, row.to_json()), made.at)
        counters.add(connection, ReceiverMetric.ASSESSMENTS, *_counted_as(made, weighed=weighed))


def _counted_as(made: Assessment, *, weighed: bool) -> tuple[str, str]:
    if made.health.status is not Status.UNKNOWN:
        return made.health.status, ""
    if made.problem:
        return made.health.status, assessments.NO_MEASUREMENT
    return made.health.status, assessments.LOW_COVERAGE if weighed else assessments.NOT_WEIGHED


def _counted(verdict: StoredVerdict | None) -> list[Counted]:
    """What the newest verdict's limits have counted, of what they need."""
    counted = []
    for finding in verdict.findings if verdict else ():
        requests, more = int(finding["counts"]["requests"]), finding["needed"]
        if finding["bad"] or finding["good"]:
            # Decided: nothing more is needed, whatever the plan reckoned with.
            more = 0
        counted.append(Counted(finding["name"], requests, None if more is None else requests + more))
    return counted


def _baselines(stored: dict[str, StoredBaseline]) -> Baselines:
    return {
        series: {hour: Usual(*usual) for hour, usual in baseline.hours.items()} for series, baseline in stored.items()
    }


def _state(connection: Connection, deployment_id: int) -> _State | None:
    deployment = ledger.find(connection, deployment_id)
    if deployment is None:
        return None
    begun = stages.of_deployment(connection, deployment_id)
    baselines = assessments.baselines(connection, deployment_id)
    return _State(
        deployment=deployment,
        newest=ledger.latest(connection, deployment.service, deployment.environment) or deployment,
        stages=begun,
        verdict=verdicts.newest(connection, begun[-1].id) if begun else None,
        last=assessments.newest(connection, deployment_id),
        away=assessments.away(connection, deployment_id),
        statuses=assessments.statuses(connection, deployment_id),
        baselines=baselines,
    )
