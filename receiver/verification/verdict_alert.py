"""A verdict tells people and acts as an alert does: it opens an incident, asks for the rollback, and ends.

The alert is taken in as a webhook is, so that brakes, messages, escalation and the timeline are the same. Its episode
begins with the verdict; it resolves when the deployment was rolled back, or overtaken by another, or when a person
accepted the hold.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, exists, select

from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.receiver.alert import VERDICT, Alert, within
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger, stages, verdicts
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.receiver.deployments.verdicts import StoredVerdict
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.jobs.job import Job, NewJob, State
from deploywatch.receiver.jobs.queue import enqueue, job_key
from deploywatch.receiver.jobs.retry import Outcome, done, retry
from deploywatch.receiver.store.schema import jobs
from deploywatch.verdict.values import Answer, Reason

KIND: Final = "verdict_alert"
BAD_NAME, HELD_NAME = "DeploymentJudgedBad", "DeploymentNeedsPerson"
_LOOK_AGAIN = timedelta(seconds=5)

Accept = Callable[[Delivery], Awaitable[None]]


def queue(connection: Connection, stage: RunningStage, now: datetime, *, bad: bool) -> None:
    """Have people told of a stage's verdict, once; of one that was over and comes again, again."""
    name = f"{KIND}:{stage.id}:{'bad' if bad else 'held'}"
    waiting = exists().where(jobs.c.serial_key == job_key(name), jobs.c.state.in_((State.READY, State.RUNNING)))
    if connection.execute(select(waiting)).scalar():
        return
    # Bad is bad once for all; a hold may end and come again, and is told again then.
    key = name if bad else f"{name}:{now.isoformat()}"
    payload = {"stage": stage.id, "bad": bad, "since": now.isoformat()}
    enqueue(connection, now, NewJob(kind=KIND, key=key, serial_key=name, run_at=now, payload=payload))


async def handle(context: Context, job: Job, accept: Accept | None = None) -> Outcome:
    """Take the alert in as firing, look until its reason is gone, then take it in as resolved."""
    payload = job.payload
    state = await context.store.read(lambda connection: _state(connection, payload["stage"], bad=payload["bad"]))
    if state is None:
        return done("there is no such stage any more")
    stage, deployment, newest, verdict, fired = state
    since, now = datetime.fromisoformat(payload["since"]), context.clock()
    fires = _fires(stage, deployment, newest, bad=payload["bad"])
    alert = _alert(stage, deployment, verdict, since, None if fires else now, bad=payload["bad"])
    delivery = Delivery(now, f"{alert.name} of deployment {deployment.id}".encode(), (alert,))
    # Said once: repeated every few seconds, it would fill the store with deliveries that change nothing.
    if not (fires and fired):
        if accept is not None:
            await accept(delivery)
        else:
            await context.store.write(lambda connection: ingest(connection, context.settings, [delivery], now))
    return retry("until it is rolled back or overtaken", _LOOK_AGAIN) if fires else done("its reason is gone")


def _fires(stage: RunningStage, deployment: Deployment, newest: Deployment, *, bad: bool) -> bool:
    """Whether what the verdict says is still so."""
    # What was overtaken runs no more, whatever was proven of it.
    if newest.id != deployment.id or deployment.status is Status.ROLLED_BACK:
        return False
    if bad:
        return True
    return stage.state is StageState.RUNNING and (stage.reason == Reason.NEEDS_PERSON or stage.answer == Answer.ERROR)


def _alert(
    stage: RunningStage,
    deployment: Deployment,
    verdict: StoredVerdict | None,
    since: datetime,
    ended: datetime | None,
    *,
    bad: bool,
) -> Alert:
    name = BAD_NAME if bad else HELD_NAME
    what = f"{deployment.service} {deployment.version} in {deployment.environment}"
    sentences = verdict.sentences if verdict else ()
    summary = (
        f"{what} was judged bad in stage {stage.name}" if bad else f"{what} waits for a person in stage {stage.name}"
    )
    labels = {
        "alertname": name,
        AlertLabel.SERVICE: deployment.service,
        AlertLabel.ENVIRONMENT: deployment.environment,
        AlertLabel.SEVERITY: "critical" if bad else "medium",
        AlertLabel.INCIDENT_TYPE: "deployment_failure" if bad else "deployment_held",
        AlertLabel.ACTION: "rollback" if bad else "notify",
        AlertLabel.POLICY: stage.plan.policy,
        "stage": stage.name,
        "version": deployment.version,
    }
    annotations = {
        AlertAnnotation.SUMMARY: f"{summary}: {sentences[0]}" if sentences else summary,
        AlertAnnotation.DESCRIPTION: "\n".join(sentences),
        AlertAnnotation.VALUE: sentences[0] if sentences else "",
        AlertAnnotation.SOURCE: "; ".join(stage.plan.sources),
    }
    kept = {key: text for key, text in annotations.items() if text}
    return Alert(_fingerprint(stage, bad=bad), ended is None, since, ended, labels, kept)


def _state(
    connection: Connection, stage_id: int, *, bad: bool
) -> tuple[RunningStage, Deployment, Deployment, StoredVerdict | None, bool] | None:
    stage = stages.find(connection, stage_id)
    if stage is None:
        return None
    deployment = ledger.get(connection, stage.deployment_id)
    newest = ledger.latest(connection, deployment.service, deployment.environment) or deployment
    fingerprint = _fingerprint(stage, bad=bad)
    known, _ = alert_store.episodes(connection, [fingerprint]).get(fingerprint, (None, None))
    fired = known is not None and known.firing
    return stage, deployment, newest, _decisive(connection, stage), fired


def _fingerprint(stage: RunningStage, *, bad: bool) -> str:
    return within(VERDICT, f"{BAD_NAME if bad else HELD_NAME}-{stage.id}")


def _decisive(connection: Connection, stage: RunningStage) -> StoredVerdict | None:
    """The verdict to tell of: the one that decided, else the newest."""
    of_stage = [
        verdict for verdict in verdicts.of_deployment(connection, stage.deployment_id) if verdict.stage_id == stage.id
    ]
    return next(
        # The proof, also where a later look says less.
        (verdict for verdict in of_stage if verdict.answer is Answer.ROLL_BACK),
        of_stage[0] if of_stage else None,
    )
