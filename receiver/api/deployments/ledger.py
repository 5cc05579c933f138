"""The ledger over HTTP: pipelines say what they deploy, and tools ask what was deployed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.clock import UtcTime
from deploywatch.config import Settings
from deploywatch.receiver.api.acting import ours
from deploywatch.receiver.api.auditing import audited
from deploywatch.receiver.api.routing import Name, Remark, Route, limit, not_found, number, read_body
from deploywatch.receiver.api.schemas.deployments import DeploymentAnswer, RecordedAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.deployments.records import Record, Taken, UnknownDeploymentError
from deploywatch.receiver.incidents.timeline import SYSTEM
from deploywatch.receiver.intake import deployment_record
from deploywatch.receiver.rendering.lookalikes import reads_as

_LONGEST_SECONDS = 366 * 86400
# A pipeline's clock may be wrong by so much; a deployment from further ahead would pass for the newest until then.
_CLOCKS_DIFFER = timedelta(hours=1)

# Source 003 writes "success" and "failure"; the ledger says what has happened.
_STATUS = {
    "success": Status.SUCCEEDED,
    "succeeded": Status.SUCCEEDED,
    "failure": Status.FAILED,
    "failed": Status.FAILED,
    "rolled_back": Status.ROLLED_BACK,
}


class NewDeployment(Settings):
    """A deployment that begins, or, with `status`, the record of one that is over; with `timestamp` it counts once.

    `rollback_of` is the version that a rollback undid, `fixes` the number of the incident that it is meant to end.
    """

    service: Name
    version: Name
    environment: Name
    strategy: Annotated[Remark, Field(max_length=200)] = ""
    deployer: Annotated[Remark, Field(max_length=200)] = ""
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(max_length=1000)] = ()
    previous_version: Name | None = None
    rollback_of: Name | None = None
    artifact: Annotated[Remark, Field(max_length=1000)] = ""
    commit_time: UtcTime | None = None
    fixes: Annotated[int, Field(ge=1, le=2**53)] | None = None
    timestamp: UtcTime | None = None
    status: Literal["success", "succeeded", "failure", "failed", "rolled_back"] | None = None
    duration_seconds: Annotated[float, Field(ge=0, le=_LONGEST_SECONDS)] | None = None


class Finish(Settings):
    """How a deployment ended, and when: now, when not given."""

    status: Literal["success", "succeeded", "failure", "failed"]
    timestamp: UtcTime | None = None


class Deployments:
    """The routes below /deployments; `queued` is called when there is news to tell."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        narrow, answer = ("service", "environment", "limit"), DeploymentAnswer
        return (
            Route("GET", "/deployments", Scope.READ, self.deployments, query=narrow, answer=list[DeploymentAnswer]),
            Route(
                "POST",
                "/deployments",
                Scope.DEPLOY,
                self.deployment_started,
                body=NewDeployment,
                status=201,
                answer=RecordedAnswer,
                may_be_known=True,
            ),
            Route("GET", "/deployments/{id}", Scope.READ, self.deployment, answer=answer),
            Route("PATCH", "/deployments/{id}", Scope.DEPLOY, self.deployment_finished, body=Finish, answer=answer),
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
        """Note that a deployment begins, or record one that is over; 201 with its number, 200 where it was known."""
        new, now = await read_body(request, NewDeployment), self._context.clock()
        _refuse(beyond(new, now))
        record = record_of(new, now)

        def write(connection: Connection) -> Taken:
            return deployment_record.take(connection, self._context, record, now)

        written = audited(request, now, write, by=record.deployer, sent=new, changed=lambda taken: taken.changed)
        try:
            taken = await self._context.store.write(written)
        except UnknownDeploymentError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        self._queued()
        answer = {**taken.deployment.to_json(), "notice": taken.notice}
        return web.json_response(answer, status=201 if taken.began else 200)

    async def deployment_finished(self, request: web.Request) -> web.Response:
        """Note how a deployment ended."""
        end, wanted, now = await read_body(request, Finish), number(request), self._context.clock()
        _refuse(_future(end.timestamp, now))

        def write(connection: Connection) -> Deployment | None:
            status = _STATUS[end.status]
            return deployment_record.finish(connection, self._context, wanted, status, end.timestamp or now, now=now)

        deployment = await self._context.store.write(audited(request, now, write, by="", sent=end))
        self._queued()
        return web.json_response(deployment.to_json()) if deployment else not_found("deployment", wanted)


def beyond(new: NewDeployment, now: datetime) -> Iterator[str]:
    """The faults that its model cannot know: a time that is still to come, and our own name for one that begins."""
    yield from _future(new.timestamp, now)
    if new.status is None:
        yield from ours(new.deployer, "deployer")


def record_of(new: NewDeployment, now: datetime) -> Record:
    """The record for the ledger; without a `timestamp` it began `now`."""
    return Record(
        service=new.service,
        environment=new.environment,
        version=new.version,
        started_at=new.timestamp or now,
        dated=new.timestamp is not None,
        status=_STATUS[new.status] if new.status else None,
        took=timedelta(seconds=new.duration_seconds or 0),
        previous_version=new.previous_version,
        rollback_of=new.rollback_of,
        strategy=new.strategy,
        # A ledger that is taken in elsewhere may have rollbacks of ours.
        deployer=f"{new.deployer} (recorded)" if reads_as(new.deployer, SYSTEM) else new.deployer,
        ports=new.ports,
        artifact=new.artifact,
        committed_at=new.commit_time,
        fixes=new.fixes,
    )


def _future(moment: datetime | None, now: datetime) -> Iterator[str]:
    if moment and moment > now + _CLOCKS_DIFFER:
        yield f"$.timestamp: {moment.isoformat()} is in the future"


def _refuse(faults: Iterable[str]) -> None:
    if text := "\n".join(faults):
        raise web.HTTPBadRequest(text=f"{text}\n")
