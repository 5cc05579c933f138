"""The first page: what waits for somebody, who is on call, every incident as a card, and today's deployments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.webconfig import USER
from deploywatch.conventions import SEVERITIES
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.actions.rollback.approval import Approval
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.escalation.on_call import gaps, on_call
from deploywatch.receiver.escalation.upcoming import NextStep, next_steps
from deploywatch.receiver.events import outbox
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.pages.console import Console, Handler
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.on_call import Schedule

MOST = 200
"""Cards on one page."""
_TABS = ("all", "mine", "team", "over")
_DAY = timedelta(days=1)
_DEPLOYMENTS = 50


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the page was asked to show."""

    tab: str
    service: str
    environment: str
    severity: str

    @property
    def filtered(self) -> bool:
        return bool(self.service or self.environment or self.severity)


class NowPage:
    """`/`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The path, and what answers it."""
        return (("/", self._now),)

    async def _now(self, request: web.Request) -> web.Response:
        context, me = self._console.context, request.get(USER, "")
        now, chosen = context.clock(), _chosen(request)
        view = await context.store.read(lambda c: _read(c, context.settings, chosen, me, now))
        schedule = context.settings.oncall
        duties = on_call(schedule, now)
        mine = [duty for duty in duties if duty.turn.person == me]
        return await self._console.page(
            request,
            "now.html",
            chosen=chosen,
            tabs=_TABS,
            severities=SEVERITIES,
            duties=duties,
            my_duty=max(mine, key=lambda duty: duty.turn.until) if mine else None,
            gaps=gaps(schedule, now),
            most=MOST,
            **view,
        )


def _chosen(request: web.Request) -> _Chosen:
    query = request.query
    tab = query.get("tab", "")
    severity = query.get("severity", "")
    return _Chosen(
        tab=tab if tab in _TABS else "over" if query.get("status") == "all" else "all",
        service=query.get("service", ""),
        environment=query.get("environment", ""),
        severity=severity if severity in SEVERITIES else "",
    )


def _read(connection: Connection, settings: ReceiverConfig, chosen: _Chosen, me: str, now: datetime) -> dict[str, Any]:
    over = chosen.tab == "over"
    # Read before they are filtered, so that the lists of services and environments have all there are.
    incidents = store.recent(connection, only_open=not over, limit=MOST)
    listed = [incident for incident in incidents if _fits(incident, settings.oncall, chosen, me, now)]
    steps = next_steps(connection, settings, listed)
    # Questions are of what goes on; the tab of what is over has none.
    questions = [] if over else approval.waiting(connection, now)
    today = [
        deployment for deployment in ledger.recent(connection, limit=_DEPLOYMENTS) if deployment.started_at > now - _DAY
    ]
    return {
        "cut": len(incidents) == MOST,
        "incidents": sorted(listed, key=lambda incident: -incident.id if over else urgency(incident, steps, now)),
        "steps": steps,
        "questions": [question(connection, asked) for asked in questions],
        "deployments": today,
        "services": sorted({incident.service for incident in incidents}),
        "environments": sorted({incident.environment for incident in incidents}),
        "trouble": outbox.trouble(connection, now),
    }


def _fits(incident: Incident, schedule: Schedule, chosen: _Chosen, me: str, now: datetime) -> bool:
    narrow = (
        (chosen.service, incident.service),
        (chosen.environment, incident.environment),
        (chosen.severity, incident.severity),
    )
    if any(wanted not in ("", there) for wanted, there in narrow):
        return False
    if chosen.tab == "over":
        return incident.resolved_at is not None
    team = schedule.team_of(incident.service)
    if chosen.tab == "team":
        return team is not None and team in _teams(schedule, me)
    if chosen.tab == "mine":
        called = {duty.team for duty in on_call(schedule, now) if duty.turn.person == me}
        # Mine is what I have taken, and what I would be called for next.
        return me in (incident.commander, incident.acknowledged_by) or (incident.waits_for_somebody and team in called)
    return True


def _teams(schedule: Schedule, person: str) -> set[str]:
    """The teams that somebody leads, or takes turns in."""
    return {
        name
        for name, team in schedule.teams.items()
        if person in team.lead
        or any(
            person in schedule.rotations[rotation].people
            for rotation in (*team.primary, *team.secondary, *team.lead)
            if rotation in schedule.rotations
        )
    }


def urgency(incident: Incident, steps: dict[int, NextStep], now: datetime) -> tuple[bool, int, float, int]:
    """The order: what waits for somebody first; of these the worst, then what escalates next, then the newest."""
    step = steps.get(incident.id)
    until = (step.at - now).total_seconds() if step else float("inf")
    # What nobody has in hand first, then the graver, then what is told on soonest, then the newest.
    return not incident.waits_for_somebody, SEVERITIES.index(incident.severity), until, -incident.id


def question(connection: Connection, asked: Approval) -> tuple[Approval, Incident, Deployment | None]:
    """A question that waits for an answer, with its incident and the deployment that it is about."""
    incident = store.get(connection, asked.incident_id)
    return asked, incident, ledger.find(connection, asked.deployment_id)
