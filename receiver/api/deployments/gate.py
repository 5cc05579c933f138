"""The gate over HTTP: how it stands for a deployment, approvals by people, and records of what was done before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from aiohttp import web
from pydantic import Field, ValidationError
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.access.webconfig import USER
from deploywatch.clock import UtcTime
from deploywatch.config import Settings
from deploywatch.receiver.api.auditing import audited
from deploywatch.receiver.api.routing import Name, Remark, Route, not_found, number, read_body
from deploywatch.receiver.api.schemas.gate import GateAnswer, GateApprovalAnswer, GateRecordAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import approvals, gate_records
from deploywatch.receiver.deployments.approvals import GateApproval
from deploywatch.receiver.deployments.gate_records import GateRecord
from deploywatch.receiver.verification import gate, people, refusal
from deploywatch.receiver.verification.question import Asked

# A decision is made on what is true now, so that less is allowed than for the record of a deployment.
# A backup with a time in the future would satisfy the gate for longer than it may.
_CLOCKS_DIFFER = timedelta(minutes=5)
_ASKED = ("service", "environment", "version", "artifact", "strategy", "deployer", "fixes", "rollback")
_LONG = 1000


class GateQuestion(Settings):
    """The deployment that wants to begin."""

    service: Name
    environment: Name
    version: Name
    artifact: Annotated[Remark, Field(max_length=_LONG)] = ""
    strategy: Annotated[Remark, Field(max_length=200)] = ""
    deployer: Annotated[Remark, Field(max_length=200)] = ""
    fixes: Annotated[int, Field(ge=1, le=2**53)] | None = None
    rollback: bool = False


class NewGateApproval(Settings):
    """A person lets this version, built as this artifact, into an environment, in a role."""

    by: Name
    service: Name
    environment: Name
    version: Name
    artifact: Annotated[Remark, Field(max_length=_LONG)] = ""
    role: Name
    note: Remark = ""


class WithdrawnApproval(Settings):
    """Who takes it back."""

    by: Name


class NewGateRecord(Settings):
    """Something was done for a service, such as a backup: when, and by whom; now, when `at` is not given."""

    by: Name
    service: Name
    environment: Name
    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    at: UtcTime | None = None
    detail: Remark = ""


class GateRoutes:
    """The routes below /gate."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        withdrawal = "/gate/approvals/{id}/withdraw"
        return (
            Route("GET", "/gate", Scope.READ, self.gate, query=_ASKED, answer=GateAnswer),
            Route("POST", "/gate", Scope.DEPLOY, self.ask, body=GateQuestion, answer=GateAnswer),
            Route(
                "POST",
                "/gate/approvals",
                Scope.APPROVE,
                self.approve,
                body=NewGateApproval,
                status=201,
                answer=GateApprovalAnswer,
            ),
            Route("POST", withdrawal, Scope.APPROVE, self.withdraw, body=WithdrawnApproval, answer=GateApprovalAnswer),
            Route(
                "POST",
                "/gate/records",
                Scope.DEPLOY,
                self.record,
                body=NewGateRecord,
                status=201,
                answer=GateRecordAnswer,
            ),
        )

    async def gate(self, request: web.Request) -> web.Response:
        """How the gate stands for a deployment: everything that lacks, at once, each with what to do."""
        state = await gate.look(self._context, Asked(**dict(asked_of(request.query))))
        return web.json_response(state.to_json())

    async def ask(self, request: web.Request) -> web.Response:
        """How the gate stands, asked by a pipeline; a refusal is published, once while the same things lack."""
        sent, now = await read_body(request, GateQuestion), self._context.clock()
        # Outside the transaction: it asks Prometheus, and no write may wait for that.
        state = await gate.look(self._context, Asked(**dict(sent)))
        if state.state is not gate.GateState.OPEN:

            def write(connection: Connection) -> bool:
                return refusal.publish(connection, self._context.settings, state, now)

            published = audited(request, now, write, by=sent.deployer, sent=sent, changed=bool)
            await self._context.store.write(published)
        return web.json_response(state.to_json())

    async def approve(self, request: web.Request) -> web.Response:
        """Approve a version and artifact in a role; 403 for a role that is not theirs."""
        sent, now = await read_body(request, NewGateApproval), self._context.clock()
        settings, verified = self._context.settings.verification, bool(request.get(USER))
        if why := people.not_theirs(settings, sent.role, sent.by, verified=verified):
            raise web.HTTPForbidden(text=f"$.role: {why}\n")

        def write(connection: Connection) -> GateApproval:
            return approvals.give(
                connection,
                service=sent.service,
                environment=sent.environment,
                version=sent.version,
                artifact=sent.artifact,
                role=sent.role,
                by=sent.by,
                verified=verified,
                note=sent.note,
                at=now,
                expires_at=now + settings.approvals,
            )

        approval = await self._context.store.write(audited(request, now, write, by=sent.by, sent=sent))
        return web.json_response(approval.to_json(), status=201)

    async def withdraw(self, request: web.Request) -> web.Response:
        """Take an approval back; a second time changes nothing."""
        sent, wanted, now = await read_body(request, WithdrawnApproval), number(request), self._context.clock()

        def write(connection: Connection) -> GateApproval | None:
            return approvals.withdraw(connection, wanted, now, by=sent.by)

        approval = await self._context.store.write(audited(request, now, write, by=sent.by, sent=sent))
        return web.json_response(approval.to_json()) if approval else not_found("approval", wanted)

    async def record(self, request: web.Request) -> web.Response:
        """Record something that was done for a service, such as a backup, with its time."""
        sent, now = await read_body(request, NewGateRecord), self._context.clock()
        if sent.at and sent.at > now + _CLOCKS_DIFFER:
            raise web.HTTPBadRequest(text=f"$.at: {sent.at.isoformat()} is in the future\n")

        def write(connection: Connection) -> GateRecord:
            return gate_records.add(
                connection,
                service=sent.service,
                environment=sent.environment,
                kind=sent.kind,
                at=sent.at or now,
                recorded_at=now,
                by=sent.by,
                detail=sent.detail,
            )

        made = await self._context.store.write(audited(request, now, write, by=sent.by, sent=sent))
        return web.json_response(made.to_json(), status=201)


def asked_of(query: Mapping[str, str]) -> GateQuestion:
    """The deployment that a query asks about; 400 with every fault."""
    try:
        return GateQuestion.model_validate({key: query[key] for key in _ASKED if key in query})
    except ValidationError as error:
        faults = [f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors(include_url=False)]
        raise web.HTTPBadRequest(text="\n".join(faults) + "\n") from error
