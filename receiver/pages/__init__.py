"""Pages for people, who follow a message's link: the incidents, and one with all that is known. They change nothing."""

from __future__ import annotations

from aiohttp import web

from deploywatch import html
from receiver.api.routing import guarded, number
from receiver.api.shown import actions_json, incident_json, whole_json
from receiver.desk import Desk
from receiver.incidents import book
from receiver.pages import listed, whole

_MOST = 200


class Pages:
    """The routes that a browser asks for."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/", guarded(self._listed))
        app.router.add_get(book.PAGE.replace("{id}", r"{id:\d+}"), guarded(self._one))

    async def _listed(self, request: web.Request) -> web.Response:
        """The open incidents, or with `?status=all` the newest of all, the worst and the newest first."""
        desk, every = self._desk, request.query.get("status") == "all"
        found = await desk.store.read(lambda c: book.recent(c, only_open=not every, limit=_MOST))
        return listed.page([incident_json(desk.settings, one) for one in found], every=every, most=_MOST)

    async def _one(self, request: web.Request) -> web.Response:
        wanted, desk = number(request), self._desk
        incident = await desk.store.read(lambda c: whole_json(c, desk.settings, wanted, desk.clock))
        actions = await desk.store.read(lambda c: actions_json(c, wanted))
        if incident is None or actions is None:
            nothing = html.element("p", f"There is no incident {wanted}. ", html.link("/", "All that are open"))
            return html.page("No such incident", nothing, status=404)
        return whole.page(incident, actions)
