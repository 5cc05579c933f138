"""A look at a stage, stored with the verdict on it, and said where it changes something."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.conventions import ReceiverMetric
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger, looks, stages, verdicts
from deploywatch.receiver.deployments.deployment import BAD
from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.receiver.deployments.verdicts import StoredVerdict
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit
from deploywatch.receiver.store import counters
from deploywatch.receiver.verification import verdict_alert
from deploywatch.verdict.values import Answer, Decision, Reason


def store_look(
    connection: Connection, *, context: Context, stage: RunningStage, look: StoredLook, decision: Decision
) -> bool:
    """Store a look and its verdict, and what follows; False where the stage does not go on."""
    now, current = context.clock(), stages.get(connection, stage.id)
    if current.state is not StageState.RUNNING:
        return False
    if not looks.add(connection, stage.id, look, now):
        return False  # another replica was faster; its verdict is from the same looks
    record_verdict(connection, context, current, look.number, decision)
    return decision.answer is not Answer.ROLL_BACK


def record_verdict(
    connection: Connection, context: Context, stage: RunningStage, number: int, decision: Decision
) -> None:
    now = context.clock()
    if not _is_recorded(verdicts.newest(connection, stage.id), number, decision):
        counters.add(connection, ReceiverMetric.VERDICTS, decision.answer, decision.reason)
        verdicts.record(
            connection,
            stage_id=stage.id,
            deployment_id=stage.deployment_id,
            look=number,
            decision=decision,
            now=now,
        )
    if decision.answer != stage.answer:
        _publish(connection, context, stage, decision, now)
    stages.note_answer(connection, stage.id, decision.answer, decision.reason)
    _act(connection, stage, decision, now)


def _is_recorded(known: StoredVerdict | None, number: int, decision: Decision) -> bool:
    """Whether the newest verdict says the same, and of the same look."""
    if known is None or known.look != number:
        return False
    return _said(known.answer, known.sentences) == _said(decision.answer, decision.sentences)


def _act(connection: Connection, stage: RunningStage, decision: Decision, now: datetime) -> None:
    """End a bad stage, settle a deployment that is promoted, and alert people where one of them is needed."""
    if decision.answer is Answer.ROLL_BACK:
        stages.end(connection, stage.id, StageState.ROLLED_BACK, now)
        # In the same transaction as the verdict: a crash between them would leave a bad verdict that nothing acts on.
        ledger.judge(connection, stage.deployment_id, BAD, now)
        verdict_alert.queue(connection, stage, now, bad=True)
    elif decision.answer is Answer.PROMOTE and stage.plan.last:
        ledger.judge(connection, stage.deployment_id, decision.answer, now)
    # An error is waited out for as long as the stage lasts: Prometheus may only be starting.
    elif decision.reason is Reason.NEEDS_PERSON or (decision.answer is Answer.ERROR and _is_long(stage, now)):
        verdict_alert.queue(connection, stage, now, bad=False)


def _publish(connection: Connection, context: Context, stage: RunningStage, decision: Decision, now: datetime) -> None:
    fact = facts.verdict_given(
        ledger.get(connection, stage.deployment_id),
        stage,
        now,
        answer=decision.answer,
        reason=decision.reason,
        sentences=decision.sentences,
    )
    emit(connection, context.settings, fact, now)


def _is_long(stage: RunningStage, now: datetime) -> bool:
    """Whether the stage's time is over, so that an error is no passing one: somebody must know that nobody judges."""
    return now - stage.started_at >= timedelta(seconds=stage.plan.lasts)


def _said(answer: Answer, sentences: Sequence[str]) -> tuple[Answer, tuple[str, ...]]:
    return answer, tuple(sentences)
