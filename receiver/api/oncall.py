"""Who is on call, over HTTP: now, or at another time."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from deploywatch.access.scopes import Scope
from deploywatch.clock import UtcTime
from deploywatch.receiver.api.routing import Route
from deploywatch.receiver.api.schemas.on_call import DutyAnswer, GapAnswer, OnCallAnswer, TeamRole
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation.on_call import Duty, Gap, gaps, leads, on_call
from deploywatch.receiver.settings.people.on_call import PRIMARY, SECONDARY, Schedule

_TIME: TypeAdapter[datetime] = TypeAdapter(UtcTime)
_YEARS = range(1971, 9000)


class OnCall:
    """The route of the schedule."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        return (Route("GET", "/oncall", Scope.READ, self.oncall, query=("at",), answer=OnCallAnswer),)

    async def oncall(self, request: web.Request) -> web.Response:
        """Who is on call now, or at the time `?at=` (ISO 8601 with its zone)."""
        at = time_of(request, "at", self._context.clock())
        if at.year not in _YEARS:
            raise web.HTTPBadRequest(text=f"at: write a year from {_YEARS[0]} to {_YEARS[-1]}\n")
        return web.json_response(oncall_json(self._context.settings.oncall, at))


def time_of(request: web.Request, name: str, otherwise: datetime) -> datetime:
    """A time from the query; 400 when it cannot be read."""
    text = request.query.get(name)
    if not text:
        return otherwise
    try:
        # A plus sign that was not encoded arrives as a space.
        return _TIME.validate_strings(text.replace(" ", "+"))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]["msg"]
        raise web.HTTPBadRequest(text=f"{name}={text[:40]}: {fault}; write it as 2026-05-01T12:00:00Z\n") from error


def oncall_json(schedule: Schedule, at: datetime) -> OnCallAnswer:
    """Everybody who can be called at a time."""
    return {
        "at": at.isoformat(),
        "on_call": [_duty(schedule, duty) for duty in on_call(schedule, at)],
        "gaps": [_gap(gap) for gap in gaps(schedule, at)],
        "leads": leads(schedule, at),
        "management": list(schedule.management),
        "contacts": {name: contact.about for name, contact in schedule.contacts.items()},
    }


def _duty(schedule: Schedule, duty: Duty) -> DutyAnswer:
    return {
        "team": duty.team,
        "role": _role(duty.role),
        "rotation": duty.rotation,
        "person": duty.turn.person,
        "channels": list(schedule.people[duty.turn.person].channels),
        "since": duty.turn.since.isoformat(),
        "until": duty.turn.until.isoformat(),
        "stands_in": duty.turn.stands_in,
    }


def _gap(gap: Gap) -> GapAnswer:
    return {"team": gap.team, "role": _role(gap.role), "until": gap.until.isoformat()}


def _role(name: str) -> TeamRole:
    return "primary" if name == PRIMARY else "secondary" if name == SECONDARY else "team_lead"
