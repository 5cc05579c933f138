"""Pages for people, who follow a message's link: the incidents, and one with all that is known. They change nothing."""

from __future__ import annotations

from aiohttp import web

from deploywatch import html
from deploywatch.receiver.api.routing import guarded, number
from deploywatch.receiver.api.serializers import actions_json, incident_json, whole_json
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store
from deploywatch.receiver.pages import incident_page, list_page
from deploywatch.scopes import Scope, needs

_MOST = 200


class Pages:
    """The routes that a browser asks for."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        needs(Scope.READ, app.router.add_get("/", guarded(self._listed)))
        needs(Scope.READ, app.router.add_get(store.PAGE.replace("{id}", r"{id:\d+}"), guarded(self._one)))

    async def _listed(self, request: web.Request) -> web.Response:
        """The open incidents, or with `?status=all` the newest of all, the worst and the newest first."""
        context, every = self._context, request.query.get("status") == "all"
        incidents = await context.store.read(lambda c: store.recent(c, only_open=not every, limit=_MOST))
        rows = [incident_json(context.settings, incident) for incident in incidents]
        return list_page.page(rows, every=every, most=_MOST, prefix=context.settings.path_prefix)

    async def _one(self, request: web.Request) -> web.Response:
        wanted, context = number(request), self._context
        incident = await context.store.read(lambda c: whole_json(c, context.settings, wanted, context.clock))
        actions = await context.store.read(lambda c: actions_json(c, wanted))
        if incident is None or actions is None:
            home = html.link(f"{context.settings.path_prefix}/", "All that are open")
            nothing = html.element("p", f"There is no incident {wanted}. ", home)
            return html.page("No such incident", nothing, status=404)
        return incident_page.page(incident, actions, prefix=context.settings.path_prefix)
