"""The page of a post-mortem: edited in place, exported, and what was not saved stays in the form."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope, needs
from deploywatch.receiver.api.postmortems import LONGEST, Postmortems, Saved, stale
from deploywatch.receiver.api.routing import number
from deploywatch.receiver.incidents import store
from deploywatch.receiver.lifecycle import postmortem_editions, resolution
from deploywatch.receiver.pages.console import Console, Handler
from deploywatch.receiver.pages.incident import PATH
from deploywatch.receiver.rendering.text import clean
from deploywatch.web.admission import takes_forms


class PostmortemPage:
    """`/incidents/7/postmortem`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The path, and what answers it."""
        return ((f"{PATH}/postmortem", self._shown),)

    def add_editing(self, app: web.Application) -> None:
        """Add the form that saves."""
        route = app.router.add_post(f"{PATH}/postmortem", self._console.guarded(self._edited))
        takes_forms(needs(Scope.RESPOND, route))

    async def _shown(self, request: web.Request) -> web.Response:
        return await self._page(request, None)

    async def _edited(self, request: web.Request) -> web.StreamResponse:
        saved = await Postmortems(self._console.context).saved(request)
        if saved is not None and saved.taken:
            back = f"/incidents/{number(request)}/postmortem"
            return web.Response(status=303, headers={"Location": self._console.path(back)})
        return await self._page(request, saved)

    async def _page(self, request: web.Request, refused: Saved | None) -> web.Response:
        wanted = number(request)
        view = await self._console.context.store.read(lambda c: self._read(c, wanted))
        if view is None:
            return await self._console.missing(request, f"incident {wanted}")
        edition = view["edition"]
        return await self._console.page(
            request,
            "postmortem.html",
            status=409 if refused else 200,
            version=edition.version if edition else 0,
            # What was not saved stays in the form: an hour's writing must survive a 409.
            text=clean(refused.sent.text if refused else edition.text if edition else view["draft"]),
            longest=LONGEST,
            refused=stale(refused) if refused else "",
            **view,
        )

    def _read(self, connection: Connection, wanted: int) -> dict[str, Any] | None:
        context = self._console.context
        incident = store.find(connection, wanted)
        if incident is None:
            return None
        return {
            "incident": incident,
            "edition": postmortem_editions.newest(connection, wanted),
            "draft": clean(resolution.postmortem(connection, context, wanted)),
            "review_required": incident.severity in context.settings.response.review.severities,
        }
