"""The ledger over HTTP: pipelines say what they deploy, and tools ask what was deployed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from deploywatch.clock import UtcTime
from deploywatch.config import Settings
from deploywatch.receiver.actions.rollback import reconsider
from deploywatch.receiver.api.auditing import audited
from deploywatch.receiver.api.routing import Name, Remark, Route, limit, not_found, number, read_body
from deploywatch.receiver.api.schemas import DeploymentAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import announce, ledger

_LONGEST_SECONDS = 366 * 86400
_CLOCKS_DIFFER = timedelta(hours=1)

# Source 003 writes "success" and "failure"; the ledger says what has happened.
_STATUS = {
    "success": ledger.Status.SUCCEEDED,
    "succeeded": ledger.Status.SUCCEEDED,
    "failure": ledger.Status.FAILED,
    "failed": ledger.Status.FAILED,
}


class NewDeployment(Settings):
    """A deployment that begins, or, with `status`, the record of one that is over."""

    service: Name
    version: Name
    environment: Name
    strategy: Annotated[Remark, Field(max_length=200)] = ""
    deployer: Annotated[Remark, Field(max_length=200)] = ""
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(max_length=1000)] = ()
    timestamp: UtcTime | None = None
    status: Literal["success", "succeeded", "failure", "failed"] | None = None
    duration_seconds: Annotated[float, Field(ge=0, le=_LONGEST_SECONDS)] | None = None


class Finish(Settings):
    """How a deployment ended."""

    status: Literal["success", "succeeded", "failure", "failed"]


class Deployments:
    """The routes below /deployments; `queued` is called when there is news to tell."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        narrow, answer = ("service", "environment", "limit"), DeploymentAnswer
        return (
            Route("GET", "/deployments", self.deployments, query=narrow, answer=list[DeploymentAnswer]),
            Route("POST", "/deployments", self.deployment_started, body=NewDeployment, status=201, answer=answer),
            Route("GET", "/deployments/{id}", self.deployment, answer=answer),
            Route("PATCH", "/deployments/{id}", self.deployment_finished, body=Finish, answer=answer),
        )

    async def deployments(self, request: web.Request) -> web.Response:
        """List deployments, the newest first; `?service=` and `?environment=` narrow it."""
        service, environment, most = request.query.get("service"), request.query.get("environment"), limit(request)
        deployments = await self._context.store.read(
            lambda c: ledger.recent(c, limit=most, service=service, environment=environment)
        )
        return web.json_response([deployment.to_json() for deployment in deployments])

    async def deployment(self, request: web.Request) -> web.Response:
        """One deployment."""
        wanted = number(request)
        deployment = await self._context.store.read(lambda c: ledger.find(c, wanted))
        return web.json_response(deployment.to_json()) if deployment else not_found("deployment", wanted)

    async def deployment_started(self, request: web.Request) -> web.Response:
        """Note that a deployment begins, or record one that is over; 201 with its number."""
        new, now = await read_body(request, NewDeployment), self._context.clock()
        if new.timestamp and new.timestamp > now + _CLOCKS_DIFFER:
            raise web.HTTPBadRequest(text=f"$.timestamp: {new.timestamp.isoformat()} is in the future\n")

        def write(connection: Connection) -> ledger.Deployment:
            begun = ledger.start(
                connection,
                service=new.service,
                environment=new.environment,
                version=new.version,
                started_at=new.timestamp or now,
                strategy=new.strategy,
                deployer=new.deployer,
                ports=new.ports,
            )
            if new.status is None:
                announce.queue(connection, self._context, begun, now)
                return begun
            ended = begun.started_at + timedelta(seconds=new.duration_seconds or 0)
            return ledger.finish(connection, begun.id, _STATUS[new.status], ended) or begun

        deployment = await self._context.store.write(audited(request, now, write, by=new.deployer, sent=new))
        self._queued()
        return web.json_response(deployment.to_json(), status=201)

    async def deployment_finished(self, request: web.Request) -> web.Response:
        """Note how a deployment ended."""
        end, wanted, now = await read_body(request, Finish), number(request), self._context.clock()

        def write(connection: Connection) -> ledger.Deployment | None:
            ended = ledger.finish(connection, wanted, _STATUS[end.status], now)
            if ended is not None:
                announce.queue(connection, self._context, ended, now)
                reconsider.has_ended(connection, ended, now)
            return ended

        deployment = await self._context.store.write(audited(request, now, write, by="", sent=end))
        self._queued()
        return web.json_response(deployment.to_json()) if deployment else not_found("deployment", wanted)
