"""Assessments of deployments over HTTP: how healthy each was, again and again."""

from __future__ import annotations

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.receiver.api.routing import Route, limit, not_found, number
from deploywatch.receiver.api.schemas.assessments import AssessmentAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import assessments, ledger
from deploywatch.receiver.deployments.assessments import StoredAssessment


class Assessments:
    """The routes below /deployments/{id} that are about its health."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        path, answer = "/deployments/{id}/assessments", list[AssessmentAnswer]
        return (Route("GET", path, Scope.READ, self.assessments, query=("limit",), answer=answer),)

    async def assessments(self, request: web.Request) -> web.Response:
        """List the assessments of a deployment, the newest first."""
        wanted, most = number(request), limit(request)

        def read(connection: Connection) -> list[StoredAssessment] | None:
            known = ledger.find(connection, wanted)
            return assessments.recent(connection, wanted, limit=most) if known else None

        stored = await self._context.store.read(read)
        if stored is None:
            return not_found("deployment", wanted)
        return web.json_response([assessment.to_json() for assessment in stored])
