"""Stages of deployments over HTTP: a pipeline begins one, asks for its verdict, and a person accepts a hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.config import Settings, nearest
from deploywatch.receiver.api.auditing import audited
from deploywatch.receiver.api.routing import Name, Remark, Route, not_found, number, read_body
from deploywatch.receiver.api.schemas.stages import StageAnswer, VerdictAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import assessments, ledger, stages, verdicts
from deploywatch.receiver.deployments.deployment import BAD, Deployment, Status
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.receiver.deployments.verdicts import StoredVerdict
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit
from deploywatch.receiver.verification import judging, watcher
from deploywatch.verdict.plan import Plan
from deploywatch.verdict.values import Answer, Reason


class NewStage(Settings):
    """The stage of the verification plan that begins; with `force`, although the one before it was not promoted."""

    stage: Name
    force: bool = False


class AcceptedHold(Settings):
    """A person lets a deployment go on although its stage holds, and says why.

    With `stage`, the number of the stage that they saw: 409 where another one runs by now.
    """

    by: Name
    stage: Annotated[int, Field(ge=1, le=2**53)] | None = None
    why: Annotated[Remark, Field(min_length=1)]


class Stages:
    """The routes below /deployments/{id} that are about stages; `queued` is called when there is something to watch."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        path = "/deployments/{id}"
        return (
            Route("GET", f"{path}/stages", Scope.READ, self.stages, answer=list[StageAnswer]),
            Route("POST", f"{path}/stages", Scope.DEPLOY, self.begin, body=NewStage, status=201, answer=StageAnswer),
            Route("GET", f"{path}/verdict", Scope.READ, self.verdict, query=("stage",), answer=VerdictAnswer),
            Route("POST", f"{path}/accept", Scope.APPROVE, self.accept, body=AcceptedHold, answer=StageAnswer),
        )

    async def stages(self, request: web.Request) -> web.Response:
        """List the stages of a deployment that began, the oldest first."""
        wanted = number(request)
        if await self._context.store.read(lambda c: ledger.find(c, wanted)) is None:
            return not_found("deployment", wanted)
        running = await self._context.store.read(lambda c: stages.of_deployment(c, wanted))
        return web.json_response([stage.to_json() for stage in running])

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a stage of the deployment's plan; it is watched from now on, and the one before it ends."""
        new, wanted, now = await read_body(request, NewStage), number(request), self._context.clock()
        deployment = await self._context.store.read(lambda c: ledger.find(c, wanted))
        if deployment is None:
            return not_found("deployment", wanted)
        plan = _plan(self._context.settings.verification.plans_of(deployment.service, deployment.environment))
        stage = plan.stage(new.stage)
        if stage is None:
            names = [planned.stage for planned in plan.stages]
            hint = nearest(new.stage, names)
            raise web.HTTPBadRequest(text=f"$.stage: the plan {plan.policy} has no stage {new.stage!r}{hint}\n")
        values = {
            "service": deployment.service,
            "environment": deployment.environment,
            "version": deployment.version,
            "previous_version": deployment.previous_version or "",
        }
        if stage.strategy and deployment.strategy and stage.strategy != deployment.strategy:
            text = (
                f"{stage.stage} is a stage of {stage.strategy}, and the deployment's strategy is {deployment.strategy}"
            )
            raise web.HTTPBadRequest(text=f"$.stage: {text}\n")
        # Filled in before the transaction: a placeholder that cannot be filled is the request's fault and no half
        # stage.
        of_stage = plan.for_stage(stage, values)

        def write(connection: Connection) -> RunningStage:
            # Read again: what was read above may have ended since.
            current, before = ledger.get(connection, wanted), stages.newest(connection, wanted)
            if before is not None and before.state is StageState.RUNNING and before.name == stage.stage:
                return before  # a pipeline that is run again asks for what it has
            if before is not None and not new.force and not _went_well(connection, before):
                answer = f"{before.answer} ({before.reason})" if before.answer else "not judged yet"
                advice = "wait for its verdict, accept its hold (accept-hold), or --force"
                raise web.HTTPConflict(text=f"stage {before.name} is {answer}: {advice}\n")
            if current.status not in (Status.RUNNING, Status.SUCCEEDED):
                raise web.HTTPConflict(text=f"deployment {wanted} of {current.version} is {current.status}\n")
            # Its status may still be `running` here, as the rollback has only been queued.
            if current.verdict == BAD:
                raise web.HTTPConflict(text=f"deployment {wanted} of {current.version} was judged bad: roll it back\n")
            begun = stages.begin(connection, wanted, of_stage, now)
            watcher.queue(connection, begun, now)
            emit(connection, self._context.settings, facts.stage_entered(current, begun), now)
            assessments.queue(connection, current, now)
            return begun

        begun = await self._context.store.write(audited(request, now, write, by="", sent=new))
        self._queued()
        return web.json_response(begun.to_json(), status=201)

    async def verdict(self, request: web.Request) -> web.Response:
        """The newest verdict on a deployment's newest stage, or on the one that `?stage=` names."""
        wanted, name, now = number(request), request.query.get("stage"), self._context.clock()

        def read(connection: Connection) -> dict[str, Any] | None:
            deployment = ledger.find(connection, wanted)
            if deployment is None:
                return None
            stage = stages.newest(connection, wanted, name)
            if stage is None:
                which = f"no stage {name!r}" if name else "no stage"
                raise web.HTTPNotFound(text=f"deployment {wanted} has begun {which}\n")
            return _standing(deployment, stage, verdicts.newest(connection, stage.id), now)

        standing = await self._context.store.read(read)
        return web.json_response(standing) if standing else not_found("deployment", wanted)

    async def accept(self, request: web.Request) -> web.Response:
        """Accept a stage's hold: the deployment may go on, by a person's word and for the reason that they give."""
        sent, wanted, now = await read_body(request, AcceptedHold), number(request), self._context.clock()

        def write(connection: Connection) -> RunningStage | None:
            if ledger.find(connection, wanted) is None:
                return None
            stage = _waiting(connection, wanted, sent)
            stages.accept(connection, stage.id, now, by=sent.by, why=sent.why)
            # In the middle a person's word lets the pipeline go on; the deployment is judged by what comes after.
            if stage.plan.last:
                ledger.judge(connection, wanted, "accepted", now)
            fact = facts.hold_accepted(ledger.get(connection, wanted), stage, now, by=sent.by, why=sent.why)
            emit(connection, self._context.settings, fact, now)
            return stages.get(connection, stage.id)

        accepted = await self._context.store.write(audited(request, now, write, by=sent.by, sent=sent))
        return web.json_response(accepted.to_json()) if accepted else not_found("deployment", wanted)


def _standing(
    deployment: Deployment, stage: RunningStage, newest: StoredVerdict | None, now: datetime
) -> dict[str, Any]:
    return {
        "deployment": deployment.to_json(),
        "stage": stage.to_json(),
        "verdict": newest.to_json() if newest else None,
        "evidence": judging.progress(stage.plan, newest.findings) if newest else [],
        "elapsed_seconds": max(0.0, ((stage.ended_at or now) - stage.started_at).total_seconds()),
        "at_most_seconds": stage.plan.at_most,
        "over": stage.state is not StageState.RUNNING,
    }


def _waiting(connection: Connection, wanted: int, sent: AcceptedHold) -> RunningStage:
    """The stage whose hold a person accepts; 409 where none waits, or another one than they have seen."""
    stage = stages.newest(connection, wanted)
    if stage is None or stage.state is not StageState.RUNNING:
        raise web.HTTPConflict(text=f"no stage of deployment {wanted} waits for anybody\n")
    if sent.stage is not None and sent.stage != stage.id:
        raise web.HTTPConflict(text=f"{stage.name} runs by now; look at it, and accept that\n")
    if stage.answer == Answer.PROMOTE:
        raise web.HTTPConflict(text=f"stage {stage.name} was promoted; there is nothing to accept\n")
    return stage


def _went_well(connection: Connection, stage: RunningStage) -> bool:
    """Whether the next stage may begin after it.

    What was proven once holds however often one looks: that a later look proves less is no reason to stop a pipeline
    which was told to go on. Anything worse than that is.
    """
    if stage.state is not StageState.RUNNING:
        return stage.state in (StageState.PROMOTED, StageState.ACCEPTED)
    if stage.answer == Answer.HOLD and stage.reason in (Reason.UNDECIDED, Reason.LOW_TRAFFIC):
        return verdicts.was_promoted(connection, stage.id)
    return stage.answer == Answer.PROMOTE


def _plan(plans: list[Plan]) -> Plan:
    """The one plan for a deployment; 409 where there is none, or which one is not clear."""
    if len(plans) == 1:
        return plans[0]
    if not plans:
        raise web.HTTPConflict(
            text="no verification plan covers this service and environment; name it in verification.plans\n"
        )
    names = ", ".join(plan.policy for plan in plans)
    raise web.HTTPConflict(text=f"several verification plans cover this service and environment: {names}; keep one\n")
