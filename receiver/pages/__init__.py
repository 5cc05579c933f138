"""Pages for people, who follow a message's link: the incidents, and one with all that is known. They change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from deploywatch.conventions import SEVERITIES, AlertAnnotation
from deploywatch.pages import answer
from deploywatch.pages.environment import templates_in
from deploywatch.pages.static import add_static
from deploywatch.receiver.api.routing import guarded, number
from deploywatch.receiver.api.schemas import AlertAnswer
from deploywatch.receiver.api.serializers import actions_json, incident_json, whole_json
from deploywatch.receiver.context import Context
from deploywatch.receiver.events import outbox
from deploywatch.receiver.incidents import store
from deploywatch.receiver.rendering.filters import web_link
from deploywatch.scopes import Scope, needs

_MOST = 200
_LINKS = {
    "/?status=all": "All incidents",
    "/api/v1/incidents": "API",
    "/api/v1/openapi.json": "OpenAPI",
    "/metrics": "Metrics",
    "/config": "Config",
    "/-/healthy": "Live",
    "/-/ready": "Ready",
}
_TEMPLATES = templates_in(Path(__file__).parent / "templates")
_TEMPLATES.filters["web_link"] = web_link


class Pages:
    """The routes that a browser asks for."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and what pages load."""
        add_static(app)
        needs(Scope.READ, app.router.add_get("/", guarded(self._listed)))
        needs(Scope.READ, app.router.add_get(store.PAGE.replace("{id}", r"{id:\d+}"), guarded(self._one)))

    def _page(self, name: str, *, status: int = 200, **values: Any) -> web.Response:
        prefix, now = self._context.settings.path_prefix, self._context.clock()
        return answer.page(_TEMPLATES, name, status=status, prefix=prefix, now=now, **values)

    async def _listed(self, request: web.Request) -> web.Response:
        """The open incidents, or with `?status=all` the newest of all, the worst and the newest first."""
        context, every = self._context, request.query.get("status") == "all"
        incidents = await context.store.read(lambda c: store.recent(c, only_open=not every, limit=_MOST))
        if not every:
            incidents = sorted(incidents, key=lambda incident: SEVERITIES.index(incident.severity))
        rows = [incident_json(context.settings, incident) for incident in incidents]
        trouble = await context.store.read(lambda c: outbox.trouble(c, context.clock()))
        return self._page("list.html", trouble=trouble, incidents=rows, every=every, most=_MOST, links=_LINKS.items())

    async def _one(self, request: web.Request) -> web.Response:
        wanted, context = number(request), self._context
        incident = await context.store.read(lambda c: whole_json(c, context.settings, wanted, context.clock))
        actions = await context.store.read(lambda c: actions_json(c, wanted))
        if incident is None or actions is None:
            return self._page("missing.html", number=wanted, status=404)
        alerts = [{**alert, **_looked_at(alert)} for alert in incident["alerts"]]
        return self._page("incident.html", incident={**incident, "alerts": alerts}, actions=actions)


def _looked_at(alert: AlertAnswer) -> dict[str, Any]:
    """What an alert says in a sentence, and where it leads: anybody may have written that, so web addresses alone."""
    annotations = alert["annotations"]
    links = {
        "Runbook": _first(annotations, AlertAnnotation.RUNBOOKS),
        "Dashboard": _first(annotations, AlertAnnotation.DASHBOARDS),
        "Query": alert["generator_url"],
    }
    return {
        "summary": _first(annotations, (AlertAnnotation.SUMMARY, *AlertAnnotation.MESSAGES)),
        "links": [(name, safe) for name, url in links.items() if (safe := web_link(url))],
    }


def _first(annotations: Mapping[str, str], names: Iterable[str]) -> str:
    return next((annotations[name] for name in names if annotations.get(name)), "")
