"""Deployments whose whole story is in the store: looks judged, health assessed, other deployments before them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from deploywatch.receiver.assessment.assess import Known, assess
from deploywatch.receiver.assessment.learned import Usual
from deploywatch.receiver.assessment.measured import Counted, Measurement, Reading, Status
from deploywatch.receiver.assessment.phase import Phase
from deploywatch.receiver.deployments import assessments, ledger, looks, stages, verdicts
from deploywatch.receiver.deployments.assessments import StoredAssessment, StoredBaseline
from deploywatch.receiver.deployments.deployment import BAD as DEPLOYMENT_BAD
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.receiver.verification import judging
from deploywatch.verdict.evidence import Look
from deploywatch.verdict.plan import StagePlan
from deploywatch.verdict.plan_parts import Counts, Limit, Watch
from deploywatch.verdict.values import Answer
from tests.receiver.assessment.made import HEALTH
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene

ERRORS, SLOW = "error_ratio > 0.5%", "latency_p95 > 1s"
_NOTHING = Counts(requests="1", bad="1")
BAD = [Look(628, 12, 5721, 3), Look(640, 15, 5760, 4), Look(636, 11, 5729, 2)]
WELL = [Look(2000, 1, 2000, 1)] * 22


def plan(stage: str, share: float, *, last: bool) -> StagePlan:
    """A stage of ten minutes with two limits and a watched condition."""
    control = share < 1
    return StagePlan(
        policy="enterprise",
        stage=stage,
        share=share,
        lasts=600,
        at_most=1800,
        stages=2,
        last=last,
        control=control,
        look=30,
        scrape=15,
        limits=tuple(
            Limit(name=name, signal=name.split(" ")[0], limit=limit, new=_NOTHING, old=_NOTHING if control else None)
            for name, limit in ((ERRORS, 0.005), (SLOW, 0.05))
        ),
        watch=(Watch(name="cpu > 90%", query="1", operator=">", threshold=0.9),),
    )


async def began(scene: Scene, version: str = "1.2.4", **more: str) -> Deployment:
    """A canary of the shop that begins now, after one that was well and one that was judged bad."""
    await scene.deployed("1.2.2", ago=48 * HOUR)
    bad = await scene.deployed("1.2.3", ago=24 * HOUR)

    def write(connection: Connection) -> Deployment:
        ledger.judge(connection, bad.id, DEPLOYMENT_BAD, scene.clock.now)
        return ledger.start(
            connection,
            service="shop",
            environment="production",
            version=version,
            started_at=scene.clock.now,
            strategy="canary",
            deployer=more.get("deployer", "ci"),
            artifact=more.get("artifact", "pkg:oci/shop@sha256:4f5a?repository_url=registry.example.com"),
        )

    return await scene.context.store.write(write)


async def judged(
    scene: Scene, deployment: Deployment, counted: Sequence[Look], *, stage: StagePlan, cpu: bool | None = False
) -> RunningStage:
    """Begin a stage, judge after each of these looks, and end the stage by a verdict that decides."""

    def write(connection: Connection) -> RunningStage:
        now, answer, taken = scene.clock.now, None, list[StoredLook]()
        begun = stages.begin(connection, deployment.id, stage, now)
        stages.keep_before(connection, begun.id, {ERRORS: [(6000, bad) for bad in (3, 2, 4, 3)], SLOW: []})
        begun = stages.get(connection, begun.id)
        for number, look in enumerate(counted, 1):
            now = begun.ends_of(number) + timedelta(seconds=stage.scrape)
            slow = Look(look.requests, 2, look.control_requests, 2 if stage.control else 0)
            taken.append(StoredLook(number, begun.ends_of(number), {ERRORS: look, SLOW: slow}, {"cpu > 90%": cpu}))
            looks.add(connection, begun.id, taken[-1], now)
            decision = judging.decide(begun, taken, now)
            verdicts.record(
                connection,
                stage_id=begun.id,
                deployment_id=deployment.id,
                look=number,
                decision=decision,
                now=now,
            )
            answer = decision.answer
            stages.note_answer(connection, begun.id, answer, decision.reason)
        if answer is Answer.ROLL_BACK:
            stages.end(connection, begun.id, StageState.ROLLED_BACK, now)
            ledger.judge(connection, deployment.id, DEPLOYMENT_BAD, now)
        elif answer is Answer.PROMOTE:
            stages.end(connection, begun.id, StageState.PROMOTED, now)
            if stage.last:
                ledger.judge(connection, deployment.id, answer, now)
        scene.clock.now = now
        return stages.get(connection, begun.id)

    return await scene.context.store.write(write)


def measured(*, error_ratio: float, cpu: float | None = 0.5) -> Measurement:
    """The health of a service at one moment, by the enterprise document's limits; revenue is not measured."""
    values = {
        "error_ratio": error_ratio,
        "latency_p99": 0.42,
        "cpu": cpu,
        "memory": 0.61,
        "disk": 0.3,
        "drop(conversion_ratio)": 0.02,
        "loss(revenue)": None,
    }
    worse = {"error_ratio": (0.02, 0.05), "cpu": (0.7, 0.9)}
    readings = []
    for signal in HEALTH.signals:
        value, (warning, critical) = values[signal.name], worse.get(signal.name, (1e9, 1e9))
        status = Status.UNKNOWN if value is None else Status.HEALTHY
        if value is not None and value > warning:
            status = Status.CRITICAL if value > critical else Status.WARNING
        readings.append(Reading(signal, status, value, 0 if value is None else 10))
    of_series = {signal.value: value for signal in HEALTH.signals if (value := values[signal.name]) is not None}
    return Measurement(
        readings=tuple(readings),
        degrees={**{limit.name: 0.0 for limit in HEALTH.anomaly_limits}, "trend(memory)": 1.0},
        values=of_series,
        impact=0.4 + 40 * error_ratio,
    )


async def assessed(scene: Scene, deployment: Deployment, course: Sequence[Measurement]) -> None:
    """Store an assessment a minute of these measurements, until now, beside what was usual for the error ratio."""
    judged_bad = (await scene.read(lambda c: ledger.get(c, deployment.id))).verdict == DEPLOYMENT_BAD
    series = HEALTH.signals[0].learn
    usual = dict.fromkeys(range(168), (0.001, 0.0002, 40, 4))
    week = (deployment.started_at - timedelta(days=7), deployment.started_at - timedelta(days=7) + HOUR)

    def write(connection: Connection) -> None:
        learned = StoredBaseline(series, usual, [("incident 7", *week)], "")
        assessments.keep_baselines(connection, deployment.id, [learned], NOON)
        for number, measurement in enumerate(course, 1):
            at = scene.clock.now - (len(course) - number) * MINUTE
            known = Known(
                Phase.FAILED if judged_bad else Phase.DEPLOYMENT_ACTIVE,
                judged_bad=judged_bad,
                counted=[Counted(ERRORS, 1904, 1904)],
                baselines={series: {hour: Usual(*value) for hour, value in usual.items()}},
            )
            made = assess(HEALTH, measurement, known, at)
            assessments.add(
                connection,
                StoredAssessment(
                    deployment_id=deployment.id,
                    number=number,
                    at=at,
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
                ),
            )

    await scene.context.store.write(write)
