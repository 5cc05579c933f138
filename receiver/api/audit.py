"""The audit over HTTP: who changed what."""

from __future__ import annotations

import re

from aiohttp import web

from deploywatch.access.scopes import Scope
from deploywatch.receiver.api.routing import Route, limit
from deploywatch.receiver.api.schemas.audit import AuditAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.lifecycle import audit


class Audit:
    """The route of the audit."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        narrow = ("incident", "who", "limit")
        return (Route("GET", "/audit", Scope.READ, self.audit, query=narrow, answer=list[AuditAnswer]),)

    async def audit(self, request: web.Request) -> web.Response:
        """List changes by people, the newest first; `?incident=` and `?who=` narrow it."""
        text, who, most = request.query.get("incident", ""), request.query.get("who"), limit(request)
        if text and not re.fullmatch("[0-9]{1,18}", text):
            raise web.HTTPBadRequest(text=f"incident={text[:40]}: write the number of an incident\n")
        wanted = int(text) if text else None
        rows = await self._context.store.read(lambda c: audit.entries(c, limit=most, incident_id=wanted, who=who))
        return web.json_response([{**row, "at": row["at"].isoformat()} for row in rows])
