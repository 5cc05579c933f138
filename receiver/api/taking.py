"""Taking an incident in hand by a message's signed link: the page asks, and the answer counts once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.pages.answer import page
from deploywatch.pages.environment import templates_in
from deploywatch.receiver.api.acting import acting, name_of
from deploywatch.receiver.api.auditing import entry_of
from deploywatch.receiver.api.routing import PREFIX, Route
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.lifecycle import audit, response
from deploywatch.receiver.notify import taking_link
from deploywatch.receiver.rendering.text import line

_NAME_LIMIT = 200
_TEMPLATES = templates_in(Path(__file__).parent / "templates")


class Taking:
    """The routes of the links; `queued` is called when somebody took an incident in hand."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        path, signed = taking_link.PAGE.removeprefix(PREFIX), ("incident", "who", "expires", "signature")
        return (
            Route("GET", path, Scope.RESPOND, self.page, query=signed, media="text/html"),
            Route("POST", path, Scope.RESPOND, self.taken, query=signed, media="text/html"),
        )

    async def page(self, request: web.Request) -> web.Response:
        """Where a signed link leads: it asks, and changes nothing."""
        refused = taking_link.refused(self._context.settings, request.query, self._context.clock())
        if refused:
            return self._page(refused=refused)
        incident = await self._context.store.read(lambda c: store.find(c, int(request.query["incident"])))
        return self._page(incident=incident, who=request.query.get("who", ""), claimed=name_of(request))

    async def taken(self, request: web.Request) -> web.Response:
        """Note who has the incident in hand: once, and within the link's time."""
        now, settings = self._context.clock(), self._context.settings
        if refused := taking_link.refused(settings, request.query, now):
            return self._page(refused=refused)
        try:
            claimed = line((await request.post()).get("by", ""), _NAME_LIMIT)
        except (ValueError, LookupError):
            return self._page(refused="this form cannot be read; open the link again, and send it from there")
        # `who` is signed, and wins over what is written into the form.
        name = request.query.get("who", "") or (acting(request, claimed) if claimed else "")
        if not name:
            return self._page(refused="your name is missing; go back and write who you are")
        number, by = int(request.query["incident"]), f"{name} (signed link)"
        row = replace(entry_of(request, now, by=by, sent=None), incident_id=number)

        def write(connection: Connection) -> tuple[Incident | None, bool]:
            incident = store.find(connection, number)
            # A link stays good after somebody else took it: then it says who did, and changes nothing.
            if incident is None or incident.resolved_at or incident.acknowledged_at:
                return incident, False
            audit.record(connection, row)
            return response.acknowledge(connection, settings, incident, now, by=by, note="by a signed link"), True

        incident, done = await self._context.store.write(write)
        self._queued()
        return self._page(incident=incident, thanks=done)

    def _page(
        self,
        *,
        incident: Incident | None = None,
        refused: str = "",
        who: str = "",
        claimed: str = "",
        thanks: bool = False,
    ) -> web.Response:
        refused = refused or ("" if incident else "this incident is not kept any more")
        return page(
            _TEMPLATES,
            "taking.html",
            status=403 if refused else 200,
            prefix=self._context.settings.path_prefix,
            now=self._context.clock(),
            incident=incident,
            refused=refused,
            who=who,
            claimed=claimed,
            thanks=thanks,
        )
