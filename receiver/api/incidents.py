"""Incidents over HTTP: people and their tools see them, take them in hand, and end them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection, select

from deploywatch.config import Settings
from receiver.actions import notify
from receiver.api.routing import Name, Remark, Route, iso, limit, not_found, number, read_body
from receiver.desk import Desk
from receiver.incidents import book, resolution
from receiver.incidents.book import Incident, Status
from receiver.messages import Event
from receiver.store.schema import rollbacks


class Person(Settings):
    """Who does something to an incident, and what they say."""

    by: Name
    note: Remark = ""


class Comment(Person):
    """What a person adds to the timeline."""

    note: Annotated[Remark, Field(min_length=1)]


class Incidents:
    """The routes below /incidents; `queued` is called when a change may have queued a job."""

    def __init__(self, desk: Desk, *, queued: Callable[[], None]) -> None:
        self._desk = desk
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        return (
            Route("GET", "/incidents", self.incidents, query=("status", "limit")),
            Route("GET", "/incidents/{id}", self.incident),
            Route("GET", "/incidents/{id}/postmortem", self.postmortem),
            Route("POST", "/incidents/{id}/acknowledge", self.acknowledge, body=Person),
            Route("POST", "/incidents/{id}/resolve", self.resolve, body=Person),
            Route("POST", "/incidents/{id}/comment", self.comment, body=Comment),
        )

    async def incidents(self, request: web.Request) -> web.Response:
        """List incidents, the newest first; `?status=open` leaves out the resolved, `?limit=` says how many."""
        only_open, most = request.query.get("status") == "open", limit(request)
        found = await self._desk.store.read(lambda c: book.recent(c, only_open=only_open, limit=most))
        return web.json_response([incident_json(one) for one in found])

    async def incident(self, request: web.Request) -> web.Response:
        """One incident with its alerts, rollbacks, checklist and timeline."""
        wanted = number(request)
        whole = await self._desk.store.read(lambda c: self._whole(c, wanted))
        return web.json_response(whole) if whole else not_found("incident", wanted)

    async def postmortem(self, request: web.Request) -> web.Response:
        """The draft of the review, as Markdown."""
        wanted = number(request)

        def draft(connection: Connection) -> str | None:
            found = book.find(connection, wanted)
            return resolution.postmortem(connection, self._desk, wanted) if found else None

        text = await self._desk.store.read(draft)
        return web.Response(text=text, content_type="text/markdown") if text else not_found("incident", wanted)

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

    async def _change(
        self,
        request: web.Request,
        change: Callable[[Connection, Incident, Person, datetime], Incident],
        model: type[Person] = Person,
    ) -> web.Response:
        person, wanted, now = await read_body(request, model), number(request), self._desk.clock()

        def write(connection: Connection) -> Incident | None:
            incident = book.find(connection, wanted)
            return change(connection, incident, person, now) if incident else None

        changed = await self._desk.store.write(write)
        self._queued()
        return web.json_response(incident_json(changed)) if changed else not_found("incident", wanted)

    def _whole(self, connection: Connection, wanted: int) -> dict[str, Any] | None:
        incident = book.find(connection, wanted)
        if incident is None:
            return None
        strategy = self._desk.settings.strategy.of(incident.severity)
        query = select(rollbacks).where(rollbacks.c.incident_id == wanted).order_by(rollbacks.c.id)
        return {
            **incident_json(incident),
            "alerts": [
                {
                    "name": alert.name,
                    "firing": alert.firing,
                    "severity": alert.severity,
                    "starts_at": alert.starts_at.isoformat(),
                    "ends_at": iso(alert.ends_at),
                    "labels": dict(alert.labels),
                    "annotations": dict(alert.annotations),
                }
                for alert in book.alerts_of(connection, wanted)
            ],
            "rollbacks": [
                {**row, "started_at": iso(row["started_at"]), "finished_at": iso(row["finished_at"])}
                for row in connection.execute(query).mappings()
            ],
            "checklist": {"monitoring": strategy.monitoring, "resolution": strategy.resolution},
            "timeline": [
                {"at": entry.at.isoformat(), "kind": entry.kind, "actor": entry.actor, "text": entry.text}
                for entry in book.timeline_of(connection, wanted)
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
        "opened_at": iso(incident.opened_at),
        "acknowledged_at": iso(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "resolved_at": iso(incident.resolved_at),
        "resolved_by": incident.resolved_by,
        "duration_seconds": (incident.resolved_at - incident.opened_at).total_seconds()
        if over and incident.resolved_at
        else None,
    }
