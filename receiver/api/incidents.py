"""Incidents over HTTP: people and their tools see them, take them in hand, lead them, and end them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.receiver.api.auditing import audited, entry_of
from deploywatch.receiver.api.incident_requests import (
    NAMED,
    TRUSTED,
    Commander,
    Comment,
    Mitigation,
    P,
    Person,
    Resolve,
    Several,
    StatusUpdate,
    Tick,
    severities_of,
)
from deploywatch.receiver.api.routing import Route, limit, not_found, number, read_body
from deploywatch.receiver.api.schemas.incidents import CheckAnswer, IncidentAnswer, WholeIncidentAnswer
from deploywatch.receiver.api.serializers import check_json, incident_json, whole_json
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import recheck, store, timeline
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.lifecycle import audit, resolution, response
from deploywatch.receiver.settings.config import ReceiverConfig

Change = Callable[[Connection, ReceiverConfig, Incident, P, datetime], Incident]


class Incidents:
    """The routes below /incidents; `queued` is called when a change may have queued a job."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        narrow = ("status", "severity", "service", "environment", "limit")
        answer, many = IncidentAnswer, list[IncidentAnswer]
        return (
            Route("GET", "/incidents", Scope.READ, self.incidents, query=narrow, answer=many),
            Route("GET", "/incidents/{id}", Scope.READ, self.incident, answer=WholeIncidentAnswer),
            Route("POST", "/incidents/acknowledge", Scope.RESPOND, self.acknowledge_several, body=Several, answer=many),
            Route("POST", "/incidents/{id}/acknowledge", Scope.RESPOND, self.acknowledge, body=Person, answer=answer),
            Route("POST", "/incidents/{id}/resolve", Scope.RESPOND, self.resolve, body=Resolve, answer=answer),
            Route("POST", "/incidents/{id}/comment", Scope.RESPOND, self.comment, body=Comment, answer=answer),
            Route("POST", "/incidents/{id}/commander", Scope.RESPOND, self.commander, body=Commander, answer=answer),
            Route("POST", "/incidents/{id}/mitigate", Scope.RESPOND, self.mitigate, body=Mitigation, answer=answer),
            Route("POST", "/incidents/{id}/update", Scope.RESPOND, self.update, body=StatusUpdate, answer=answer),
            Route("POST", "/incidents/{id}/review", Scope.RESPOND, self.review, body=Person, answer=answer),
            Route("POST", "/incidents/{id}/check", Scope.RESPOND, self.check, body=Tick, answer=CheckAnswer),
        )

    async def incidents(self, request: web.Request) -> web.Response:
        """List incidents, the newest first; `?status=open` leaves out the resolved, the others narrow it.

        `?severity=` takes several, with commas.
        """
        query, most, severities = request.query, limit(request), severities_of(request)
        incidents = await self._context.store.read(
            lambda c: store.recent(
                c,
                only_open=query.get("status") == "open",
                limit=most,
                severities=severities,
                service=query.get("service"),
                environment=query.get("environment"),
            )
        )
        return web.json_response([incident_json(self._context.settings, incident) for incident in incidents])

    async def incident(self, request: web.Request) -> web.Response:
        """One incident with its alerts, rollbacks, checklist and timeline."""
        wanted, context = number(request), self._context
        whole = await context.store.read(lambda c: whole_json(c, context.settings, wanted, context.clock))
        return web.json_response(whole) if whole else not_found("incident", wanted)

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Note that a person has the incident in hand; escalation for want of one stops."""
        return await self._change(
            request, Person, lambda c, s, i, p, now: response.acknowledge(c, s, i, now, by=p.by, note=p.note)
        )

    async def acknowledge_several(self, request: web.Request) -> web.Response:
        """Note that a person has several incidents in hand; 404 and nothing changed where one of them is not there."""
        sent, now = await read_body(request, Several), self._context.clock()
        row = entry_of(request, now, by=sent.by, sent=sent)

        def write(connection: Connection) -> list[Incident]:
            known = _all_of(connection, sent.incidents)
            for incident in known:
                audit.record(connection, replace(row, incident_id=incident.id))
            return [
                response.acknowledge(connection, self._context.settings, incident, now, by=sent.by, note=sent.note)
                for incident in known
            ]

        taken = await self._context.store.write(write)
        self._queued()
        return web.json_response([incident_json(self._context.settings, incident) for incident in taken])

    # Resolved while its alerts fire, an incident would stay silent about them. They are looked at once more within the
    # transaction, as one may have begun since.
    async def resolve(self, request: web.Request) -> web.Response:
        """End the incident by a person's word; 409 where its alerts still fire, without `force` or `hold`."""
        wish, wanted = await read_body(request, Resolve), number(request)
        firing = await self._context.store.read(lambda c: alert_store.firing_names(c, wanted))
        if firing and not wish.force and wish.hold is None:
            more = f" and {len(firing) - NAMED} more" if len(firing) > NAMED else ""
            names = ", ".join(firing[:NAMED]) + more
            return web.Response(
                status=409,
                text=f"incident {wanted} is not resolved: {names} still fire; write for how long that may be "
                "(hold: 30m), or force it\n",
            )

        def change(c: Connection, s: ReceiverConfig, incident: Incident, person: Resolve, now: datetime) -> Incident:
            over = resolution.resolve(c, s, incident, now, by=person.by, why=person.note or f"by {person.by}")
            if alert_store.firing_of(c, incident.id):
                recheck.watch_incident(c, incident.id, now, person.hold or TRUSTED, by=person.by)
            return over

        return await self._change(request, Resolve, change)

    async def comment(self, request: web.Request) -> web.Response:
        """Add a person's words to the timeline."""

        def change(c: Connection, _: ReceiverConfig, incident: Incident, person: Comment, now: datetime) -> Incident:
            timeline.write(c, incident.id, now, Kind.COMMENT, person.note, actor=person.by)
            return incident

        return await self._change(request, Comment, change)

    async def commander(self, request: web.Request) -> web.Response:
        """Say who leads the incident."""
        return await self._change(
            request,
            Commander,
            lambda c, s, i, p, now: response.command(c, s, i, now, by=p.by, leader=p.leader or p.by),
        )

    async def mitigate(self, request: web.Request) -> web.Response:
        """Say that something is being done against it, or that this is over."""
        return await self._change(
            request,
            Mitigation,
            lambda c, _, i, p, now: response.mitigate(c, i, now, by=p.by, note=p.note, over=p.over),
        )

    async def update(self, request: web.Request) -> web.Response:
        """Tell everyone who heard of the incident how it stands."""
        return await self._change(
            request,
            StatusUpdate,
            lambda c, s, i, p, now: response.update(c, s, i, now, by=p.by, note=p.note, next_in=p.next_in),
        )

    async def review(self, request: web.Request) -> web.Response:
        """Say that the review of a resolved incident is done."""
        return await self._change(
            request, Person, lambda c, _, i, p, now: response.review(c, i, now, by=p.by, note=p.note)
        )

    async def check(self, request: web.Request) -> web.Response:
        """Tick an item of the checklist, or untick it."""
        tick, wanted, now = await read_body(request, Tick), number(request), self._context.clock()

        def write(connection: Connection) -> CheckAnswer | None:
            incident = store.find(connection, wanted)
            if incident is None:
                return None
            check = response.tick(
                connection, self._context.settings, incident, now, by=tick.by, item=tick.item, done=tick.done
            )
            return check_json(check) if check else None

        check = await self._context.store.write(audited(request, now, write, by=tick.by, sent=tick))
        if check is None:
            return web.Response(status=404, text=f"there is no item {tick.item} of an incident {wanted}\n")
        return web.json_response(check)

    async def _change(self, request: web.Request, model: type[P], change: Change[P]) -> web.Response:
        person, wanted, now = await read_body(request, model), number(request), self._context.clock()

        def write(connection: Connection) -> Incident | None:
            incident = store.find(connection, wanted)
            return change(connection, self._context.settings, incident, person, now) if incident else None

        changed = await self._context.store.write(audited(request, now, write, by=person.by, sent=person))
        self._queued()
        if changed is None:
            return not_found("incident", wanted)
        return web.json_response(incident_json(self._context.settings, changed))


def _all_of(connection: Connection, numbers: Sequence[int]) -> list[Incident]:
    """All or none: whoever acknowledges ten at once must not have to find out which seven it was."""
    by_number = {wanted: store.find(connection, wanted) for wanted in dict.fromkeys(numbers)}
    if missing := [wanted for wanted, incident in by_number.items() if incident is None]:
        raise web.HTTPNotFound(text=f"there is no incident {missing[0]}\n")
    return [incident for incident in by_number.values() if incident]
