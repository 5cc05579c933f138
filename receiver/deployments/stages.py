"""Stages of deployments as the store keeps them: which runs, by which plan it is judged, and how it ended.

A deployment has at most one running stage, which the database guarantees. The next stage ends the one before it. The
plan is the one of the moment when the stage began, so that a new policy does not change a verdict half-way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select, update

from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.deployment_schema import deployment_stages
from deploywatch.receiver.store.schema import deployments
from deploywatch.verdict.plan import StagePlan
from deploywatch.verdict.values import Answer


class StageState(StrEnum):
    """The life of a stage: it runs, and ends by a verdict, by a person's word, or because something else happened."""

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ACCEPTED = "accepted"
    SUPERSEDED = "superseded"
    ENDED = "ended"


Before = Mapping[str, Sequence[tuple[int, int]]]
"""By limit: the control's requests and bad ones of each look of the time before the stage."""


@dataclass(frozen=True, slots=True)
class RunningStage:
    """One stage of a deployment; `plan` is what it is judged by, `answer` and `reason` are those of the newest look.

    `before` is None until the time before the stage was asked for; `usual` is what this hour of the day does anyway, by
    relative limit of a stage without a control.
    """

    id: int
    deployment_id: int
    name: str
    position: int
    plan: StagePlan
    before: Before | None
    state: StageState
    started_at: datetime
    ended_at: datetime | None = None
    answer: str | None = None
    reason: str | None = None
    accepted_at: datetime | None = None
    accepted_by: str | None = None
    accepted_why: str | None = None
    usual: Mapping[str, Mapping[str, float]] | None = None

    def ends_of(self, number: int) -> datetime:
        """When look `number`, from 1, ends."""
        return self.started_at + number * timedelta(seconds=self.plan.look)

    def to_json(self) -> dict[str, Any]:
        """As the API gives it; durations in seconds, shares from 0 to 1."""
        return {
            "id": self.id,
            "deployment": self.deployment_id,
            "stage": self.name,
            "position": self.position,
            "stages": self.plan.stages,
            "share": self.plan.share,
            "lasts_seconds": self.plan.lasts,
            "policy": self.plan.policy,
            "state": self.state,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "answer": self.answer,
            "reason": self.reason,
            "accepted_at": self.accepted_at.isoformat() if self.accepted_at else None,
            "accepted_by": self.accepted_by,
            "accepted_why": self.accepted_why,
        }


def begin(connection: Connection, deployment_id: int, plan: StagePlan, now: datetime) -> RunningStage:
    """Begin a stage; the one that runs is over with it."""
    # Two pipelines that begin stages at once wait for each other here.
    connection.execute(select(deployments.c.id).where(deployments.c.id == deployment_id).with_for_update())
    earlier = of_deployment(connection, deployment_id)
    # Only one runs at a time: the verdict counts the traffic of a version, and two stages would count the same
    # requests.
    for stage in earlier:
        if stage.state is StageState.RUNNING:
            end(connection, stage.id, left(stage), now)
    row = {
        "deployment_id": deployment_id,
        "name": plan.stage,
        "position": len(earlier) + 1,
        # Whole: what a stage is judged by stays what it was when it began, though the policy's file may change.
        "plan": plan.model_dump(mode="json"),
        "state": StageState.RUNNING,
        "started_at": now,
    }
    return get(connection, insert_id(connection, deployment_stages, row))


def left(stage: RunningStage) -> StageState:
    """How a running stage ends that is left for the next one: promoted, if that is the newest verdict."""
    return StageState.PROMOTED if stage.answer == Answer.PROMOTE else StageState.SUPERSEDED


def end(connection: Connection, stage_id: int, state: StageState, now: datetime) -> None:
    """A stage is over; one that was over before stays as it was."""
    connection.execute(
        update(deployment_stages)
        # Whoever comes second changes nothing: an end is written once.
        .where(deployment_stages.c.id == stage_id, deployment_stages.c.state == StageState.RUNNING)
        .values(state=state, ended_at=now)
    )


def accept(connection: Connection, stage_id: int, now: datetime, *, by: str, why: str) -> bool:
    """A person lets the deployment go on although the answer is hold; False where the stage is over already."""
    changed = connection.execute(
        update(deployment_stages)
        .where(deployment_stages.c.id == stage_id, deployment_stages.c.state == StageState.RUNNING)
        .values(state=StageState.ACCEPTED, ended_at=now, accepted_at=now, accepted_by=by, accepted_why=why)
    )
    # The database says who was first of two people, or of a person and the verdict.
    return changed.rowcount == 1


def keep_before(
    connection: Connection, stage_id: int, before: Before, usual: Mapping[str, Mapping[str, float]] | None = None
) -> None:
    """Store the control's looks of the time before, and what the hour does anyway; they are asked for once."""
    # `usual` is never stored as null: that would mean that it was not asked for yet.
    values = {"before": {name: [list(look) for look in looks] for name, looks in before.items()}, "usual": usual or {}}
    connection.execute(update(deployment_stages).where(deployment_stages.c.id == stage_id).values(**values))


def note_answer(connection: Connection, stage_id: int, answer: str, reason: str) -> None:
    """Store the newest answer beside the stage."""
    changed = {"answer": answer, "reason": reason}
    connection.execute(update(deployment_stages).where(deployment_stages.c.id == stage_id).values(**changed))


def find(connection: Connection, stage_id: int) -> RunningStage | None:
    """One stage, or None."""
    return _first(connection, select(deployment_stages).where(deployment_stages.c.id == stage_id))


def get(connection: Connection, stage_id: int) -> RunningStage:
    """One stage that must be there."""
    query = select(deployment_stages).where(deployment_stages.c.id == stage_id)
    return _stage(connection.execute(query).mappings().one())


def of_deployment(connection: Connection, deployment_id: int) -> list[RunningStage]:
    """The stages of a deployment, the oldest first."""
    query = select(deployment_stages).where(deployment_stages.c.deployment_id == deployment_id)
    rows = connection.execute(query.order_by(deployment_stages.c.position)).mappings()
    return [_stage(row) for row in rows]


def newest(connection: Connection, deployment_id: int, name: str | None = None) -> RunningStage | None:
    """The stage of a deployment that began last, or the last one of this name; None where there is none."""
    query = select(deployment_stages).where(deployment_stages.c.deployment_id == deployment_id)
    if name is not None:
        query = query.where(deployment_stages.c.name == name)
    return _first(connection, query.order_by(deployment_stages.c.position.desc()).limit(1))


def running(connection: Connection, service: str, environment: str) -> list[RunningStage]:
    """The stages that run of a service in an environment: one a deployment."""
    query = (
        select(deployment_stages)
        .join(deployments, deployments.c.id == deployment_stages.c.deployment_id)
        .where(
            deployments.c.service == service,
            deployments.c.environment == environment,
            deployment_stages.c.state == StageState.RUNNING,
        )
        .order_by(deployment_stages.c.id)
    )
    return [_stage(row) for row in connection.execute(query).mappings()]


def _first(connection: Connection, query: Select[Any]) -> RunningStage | None:
    row = connection.execute(query).mappings().first()
    return _stage(row) if row else None


def _stage(row: RowMapping) -> RunningStage:
    before = row["before"]
    return RunningStage(
        **{
            **row,
            "plan": StagePlan.model_validate(row["plan"]),
            "before": {name: [(n, x) for n, x in looks] for name, looks in before.items()} if before else before,
            "state": StageState(row["state"]),
        }
    )
