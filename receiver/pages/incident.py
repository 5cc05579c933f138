"""The page of one incident: how bad, where, who has it, what to decide, what fires, what was done, what people said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.conventions import SERVICE
from deploywatch.pages.moments import lasting, moment
from deploywatch.receiver.actions.posting import STATUS_PAGE, TICKET
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.actions.rollback.situation import ApprovalState
from deploywatch.receiver.api.routing import number
from deploywatch.receiver.api.serializers import actions_json, whole_json
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.escalation.upcoming import next_steps, next_update, review_due
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.dependencies import causes
from deploywatch.receiver.incidents.incident import PAGE, Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.incidents.timeline import SYSTEM
from deploywatch.receiver.notify.queueing import heard
from deploywatch.receiver.pages.console import Console, Handler
from deploywatch.receiver.rendering.filters import web_link, worst_first
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.story import AlertView

PATH = PAGE.replace("{id}", r"{id:\d+}")
_NOT_CLOSED = frozenset({Kind.STATUS_PAGE_END_FAILED, Kind.STATUS_PAGE_END_REFUSED})
MOST_ALERTS = 50
"""Alerts on one page; the API gives all."""


class IncidentPage:
    """`/incidents/7`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The path, and what answers it."""
        return ((PATH, self._incident),)

    async def _incident(self, request: web.Request) -> web.Response:
        wanted, context = number(request), self._console.context
        view = await context.store.read(lambda c: read(c, context, wanted, context.clock()))
        if view is None:
            return await self._console.missing(request, f"incident {wanted}")
        return await self._console.page(request, "incident.html", **view)


def read(connection: Connection, context: Context, wanted: int, now: datetime) -> dict[str, Any] | None:
    """What the page shows of an incident; None where there is none of this number."""
    incident = store.find(connection, wanted)
    whole = whole_json(connection, context.settings, wanted, lambda: now)
    actions = actions_json(connection, wanted)
    # All of it in one transaction: half a page of before and half of after would contradict itself.
    if incident is None or whole is None or actions is None:
        return None
    views = worst_first(alert_views.views(connection, wanted))
    asked = approval.latest(connection, wanted)
    waiting = asked if asked and asked.state is ApprovalState.WAITING and asked.expires_at > now else None
    return {
        "incident": incident,
        "view": incident.view(context.settings.external_url),
        "whole": whole,
        "actions": actions,
        "alerts": views[:MOST_ALERTS],
        "more_alerts": max(0, len(views) - MOST_ALERTS),
        "links": list(_links(views, context.settings.response.bridge_of(wanted))),
        "asked": waiting,
        "deployment": ledger.find(connection, waiting.deployment_id) if waiting else None,
        "step": next_steps(connection, context.settings, [incident]).get(wanted),
        "heard": heard(connection, incident),
        "outside": _outside(connection, context.settings, wanted, whole["timeline"]),
        "victims": _victims(views, incident.service, context),
        "took": list(_took(incident, views, whole["timeline"])),
        "update_due": next_update(connection, context.settings, incident),
        "review_due": review_due(context.settings, incident),
        "firing": sum(view.firing for view in views),
        "timeline": list(_folded(whole["timeline"])),
        "can_roll_back": bool(context.settings.rollback.target(incident.service, incident.environment)),
    }


def _links(views: Sequence[Any], bridge: str) -> Iterator[tuple[str, str]]:
    """Where to look, each place once: those of the worst alert before the others'."""
    seen: set[str] = set()
    for name, urls in (
        ("Runbook", [view.runbook_url for view in views]),
        ("Dashboard", [view.dashboard_url for view in views]),
        ("Prometheus", [view.source_url for view in views]),
        ("Meeting", [bridge]),
    ):
        unique = list(dict.fromkeys(link for url in urls if (link := web_link(url)) and link not in seen))[:3]
        seen.update(unique)
        for position, link in enumerate(unique, start=1):
            yield (name if len(unique) == 1 else f"{name} {position}"), link


@dataclass(frozen=True, slots=True)
class Outside:
    """What systems outside were told of an incident: the timeline's `lines`, and what the status page `says` now."""

    lines: tuple[Any, ...]
    says: str


def _outside(connection: Connection, settings: ReceiverConfig, wanted: int, entries: Sequence[Any]) -> Outside:
    """The ticket and the status page (P9 of source 003: whom it concerns outside hears of the incident there)."""
    kinds = tuple(f"{system.kind}_" for system in (TICKET, STATUS_PAGE))
    lines = tuple(entry for entry in entries if entry["kind"].startswith(kinds))
    page, known = settings.status_page, {entry["kind"] for entry in lines}
    if page is None:
        says = ""
    elif Kind.STATUS_PAGE_END_GOOD in known:
        says = "The status page says that it is over."
    elif known & _NOT_CLOSED:
        says = "The status page may still say that there is an incident: close it there by hand."
    elif Kind.STATUS_PAGE_GOOD in known:
        end = "will say its end" if page.resolved else "is to be closed by hand"
        says = f"The status page says that there is an incident, and {end}; it hears no updates."
    elif Kind.STATUS_PAGE_UNKNOWN in known:
        says = "Nobody knows what the status page says: look there."
    elif STATUS_PAGE.is_under_way(connection, wanted):
        says = "The status page is being told."
    else:
        says = "The status page says nothing of this incident."
    return Outside(lines, says)


def _folded(entries: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """The timeline, the newest first: what people said one by one, deploywatch's own lines in runs."""
    run: list[Any] = []
    # Turned round once, and runs kept in the order in which they are read: newest first.
    for entry in reversed(entries):
        if entry["actor"] == SYSTEM:
            run.append(entry)
            continue
        if run:
            yield SYSTEM, run
            run = []
        yield entry["actor"], [entry]
    if run:
        yield SYSTEM, run


def _victims(views: Sequence[AlertView], service: str, context: Context) -> list[str]:
    """The services whose alerts fire in this incident because they depend on its own."""
    named = {view.labels.get(SERVICE, "") for view in views if view.firing} - {"", service}
    return sorted(name for name in named if service in causes(name, context.settings.dependencies))


def _took(incident: Incident, views: Sequence[AlertView], entries: Sequence[Any]) -> Iterator[str]:
    """How long each part of the response took, as source 001 (B11) counts them; all but the first from the opening."""
    began = min((view.starts_at for view in views), default=incident.opened_at)
    yield f"detected after {lasting(max(incident.opened_at - began, timedelta()))}"
    taken = next((entry["at"] for entry in entries if entry["kind"] == Kind.UPDATE), None)
    for word, at in (
        ("in hand", incident.acknowledged_at),
        ("first update", moment(taken) if taken else None),
        ("over", incident.resolved_at),
        ("reviewed", incident.reviewed_at),
    ):
        if at is not None:
            yield f"{word} after {lasting(at - incident.opened_at)}"
