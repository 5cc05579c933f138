"""The HTTP API: incidents and deployments for people, their tools, and CI."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Connection, select

from deploywatch.config import Settings
from receiver import bodies
from receiver.actions import notify
from receiver.bodies import BodyError
from receiver.clock import UtcTime
from receiver.deployments import ledger
from receiver.desk import Desk
from receiver.incidents import book, resolution
from receiver.incidents.book import Incident, Status
from receiver.messages import Event
from receiver.store import StoreError, UnfitError
from receiver.store.schema import rollbacks

B = TypeVar("B", bound=BaseModel)

_LAST_NUMBER = 2**63 - 1
_LONGEST_SECONDS = 366 * 86400
_CLOCKS_DIFFER = timedelta(hours=1)
_NO_NUL = r"^[^\x00]*$"  # PostgreSQL stores every character but this one

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
Remark = Annotated[str, StringConstraints(max_length=4000, pattern=_NO_NUL)]
# Source 003 writes "success" and "failure"; the ledger says what has happened.
_STATUS = {
    "success": ledger.Status.SUCCEEDED,
    "succeeded": ledger.Status.SUCCEEDED,
    "failure": ledger.Status.FAILED,
    "failed": ledger.Status.FAILED,
}


class Person(Settings):
    """Who does something to an incident, and what they say."""

    by: Name
    note: Remark = ""


class Comment(Person):
    """What a person adds to the timeline."""

    note: Annotated[Remark, Field(min_length=1)]


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


class Api:
    """Routes under /api/v1; bad input is 400 with every fault, an unknown number 404, store trouble 503."""

    def __init__(self, desk: Desk, *, queued: Callable[[], None]) -> None:
        self._desk = desk
        self._queued = queued

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/v1/incidents", _guarded(self.incidents))
        app.router.add_get(r"/api/v1/incidents/{id:\d+}", _guarded(self.incident))
        app.router.add_get(r"/api/v1/incidents/{id:\d+}/postmortem", _guarded(self.postmortem))
        app.router.add_post(r"/api/v1/incidents/{id:\d+}/acknowledge", _guarded(self.acknowledge))
        app.router.add_post(r"/api/v1/incidents/{id:\d+}/resolve", _guarded(self.resolve))
        app.router.add_post(r"/api/v1/incidents/{id:\d+}/comment", _guarded(self.comment))
        app.router.add_get("/api/v1/deployments", _guarded(self.deployments))
        app.router.add_post("/api/v1/deployments", _guarded(self.deployment_started))
        app.router.add_get(r"/api/v1/deployments/{id:\d+}", _guarded(self.deployment))
        app.router.add_patch(r"/api/v1/deployments/{id:\d+}", _guarded(self.deployment_finished))

    async def incidents(self, request: web.Request) -> web.Response:
        """List incidents, the newest first; `?status=open` leaves out the resolved, `?limit=` says how many."""
        only_open, limit = request.query.get("status") == "open", _limit(request)
        found = await self._desk.store.read(lambda c: book.recent(c, only_open=only_open, limit=limit))
        return web.json_response([incident_json(one) for one in found])

    async def incident(self, request: web.Request) -> web.Response:
        """One incident with its alerts, rollbacks, checklist and timeline."""
        number = _number(request)
        whole = await self._desk.store.read(lambda c: self._whole(c, number))
        return web.json_response(whole) if whole else _not_found("incident", number)

    async def postmortem(self, request: web.Request) -> web.Response:
        """The draft of the review, as Markdown."""
        number = _number(request)

        def draft(connection: Connection) -> str | None:
            found = book.find(connection, number)
            return resolution.postmortem(connection, self._desk, number) if found else None

        text = await self._desk.store.read(draft)
        return web.Response(text=text, content_type="text/markdown") if text else _not_found("incident", number)

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Note that a person has the incident in hand; escalation for want of one stops."""

        def change(connection: Connection, incident: Incident, person: Person, now: datetime) -> Incident:
            if incident.resolved_at or incident.acknowledged_at:
                return incident
            known = replace(incident, acknowledged_at=now, acknowledged_by=person.by)
            book.save(connection, known)
            book.write_line(
                connection, incident.id, now, "acknowledged", person.note or "acknowledged", actor=person.by
            )
            told = notify.heard(connection, known)
            notify.tell(
                connection, self._desk.settings, known, Event.ACKNOWLEDGED, now, note=person.note, channels=told
            )
            return known

        return await self._change(request, change)

    async def resolve(self, request: web.Request) -> web.Response:
        """End the incident by a person's word."""

        def change(connection: Connection, incident: Incident, person: Person, now: datetime) -> Incident:
            why = person.note or f"by {person.by}"
            return resolution.resolve(connection, self._desk.settings, incident, now, by=person.by, why=why)

        return await self._change(request, change)

    async def comment(self, request: web.Request) -> web.Response:
        """Add a person's words to the timeline."""

        def change(connection: Connection, incident: Incident, person: Person, now: datetime) -> Incident:
            book.write_line(connection, incident.id, now, "comment", person.note, actor=person.by)
            return incident

        return await self._change(request, change, Comment)

    async def deployments(self, request: web.Request) -> web.Response:
        """List deployments, the newest first; `?service=` and `?environment=` narrow it."""
        service, environment, limit = request.query.get("service"), request.query.get("environment"), _limit(request)
        found = await self._desk.store.read(
            lambda c: ledger.recent(c, limit=limit, service=service, environment=environment)
        )
        return web.json_response([one.to_json() for one in found])

    async def deployment(self, request: web.Request) -> web.Response:
        """One deployment."""
        number = _number(request)
        found = await self._desk.store.read(lambda c: ledger.find(c, number))
        return web.json_response(found.to_json()) if found else _not_found("deployment", number)

    async def deployment_started(self, request: web.Request) -> web.Response:
        """Note that a deployment begins, or record one that is over; 201 with its number."""
        new, now = await _body(request, NewDeployment), self._desk.clock()
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
                return begun
            ended = begun.started_at + timedelta(seconds=new.duration_seconds or 0)
            return ledger.finish(connection, begun.id, _STATUS[new.status], ended) or begun

        deployment = await self._desk.store.write(write)
        return web.json_response(deployment.to_json(), status=201)

    async def deployment_finished(self, request: web.Request) -> web.Response:
        """Note how a deployment ended."""
        end, number, now = await _body(request, Finish), _number(request), self._desk.clock()
        found = await self._desk.store.write(lambda c: ledger.finish(c, number, _STATUS[end.status], now))
        return web.json_response(found.to_json()) if found else _not_found("deployment", number)

    async def _change(
        self,
        request: web.Request,
        change: Callable[[Connection, Incident, Person, datetime], Incident],
        model: type[Person] = Person,
    ) -> web.Response:
        person, number, now = await _body(request, model), _number(request), self._desk.clock()

        def write(connection: Connection) -> Incident | None:
            incident = book.find(connection, number)
            return change(connection, incident, person, now) if incident else None

        changed = await self._desk.store.write(write)
        self._queued()
        return web.json_response(incident_json(changed)) if changed else _not_found("incident", number)

    def _whole(self, connection: Connection, number: int) -> dict[str, Any] | None:
        incident = book.find(connection, number)
        if incident is None:
            return None
        strategy = self._desk.settings.strategy.of(incident.severity)
        query = select(rollbacks).where(rollbacks.c.incident_id == number).order_by(rollbacks.c.id)
        return {
            **incident_json(incident),
            "alerts": [
                {
                    "name": alert.name,
                    "firing": alert.firing,
                    "severity": alert.severity,
                    "starts_at": alert.starts_at.isoformat(),
                    "ends_at": _time(alert.ends_at),
                    "labels": dict(alert.labels),
                    "annotations": dict(alert.annotations),
                }
                for alert in book.alerts_of(connection, number)
            ],
            "rollbacks": [
                {**row, "started_at": _time(row["started_at"]), "finished_at": _time(row["finished_at"])}
                for row in connection.execute(query).mappings()
            ],
            "checklist": {"monitoring": strategy.monitoring, "resolution": strategy.resolution},
            "timeline": [
                {"at": entry.at.isoformat(), "kind": entry.kind, "actor": entry.actor, "text": entry.text}
                for entry in book.timeline_of(connection, number)
            ],
        }


def incident_json(incident: Incident) -> dict[str, Any]:
    """An incident as the API gives it; times are ISO 8601 in UTC."""
    over = incident.status is Status.RESOLVED
    return {
        "id": incident.id,
        "service": incident.service,
        "environment": incident.environment,
        "severity": incident.severity,
        "status": incident.status,
        "type": incident.type,
        "title": incident.title,
        "channels": list(incident.channels),
        "opened_at": _time(incident.opened_at),
        "acknowledged_at": _time(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "resolved_at": _time(incident.resolved_at),
        "resolved_by": incident.resolved_by,
        "duration_seconds": (incident.resolved_at - incident.opened_at).total_seconds()
        if over and incident.resolved_at
        else None,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _number(request: web.Request) -> int:
    number = int(request.match_info["id"])
    if number > _LAST_NUMBER:
        raise web.HTTPNotFound(text=f"there is no number {request.match_info['id'][:40]}\n")
    return number


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "100")
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= 1000:
        raise web.HTTPBadRequest(text=f"limit={text[:40]}: write a number from 1 to 1000\n")
    return int(text)


async def _body(request: web.Request, model: type[B]) -> B:
    try:
        return bodies.read(await request.read(), model)
    except BodyError as error:
        raise web.HTTPBadRequest(text="\n".join(error.faults) + "\n") from error


def _not_found(what: str, number: int) -> web.Response:
    return web.Response(status=404, text=f"there is no {what} {number}\n")


def _guarded(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def guarded(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except StoreError as error:
            return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": "5"})
        except UnfitError as error:
            return web.Response(status=400, text=f"{error}\n")

    return guarded
