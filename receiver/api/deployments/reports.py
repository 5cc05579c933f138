"""The report on a deployment over HTTP, as JSON, Markdown or a page."""

from __future__ import annotations

from aiohttp import web

from deploywatch.access.scopes import Scope
from deploywatch.receiver.api.routing import Route, not_found, number
from deploywatch.receiver.client import OURS
from deploywatch.receiver.context import Context
from deploywatch.receiver.report import gather, rendering
from deploywatch.receiver.report.schema import Report

FORMATS = ("json", "markdown", "html")


class Reports:
    """The route of a deployment's report."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """The only route."""
        path = "/deployments/{id}/report"
        return (Route("GET", path, Scope.READ, self.report, query=("format",), answer=Report),)

    async def report(self, request: web.Request) -> web.Response:
        """The report on a deployment; `?format=markdown` and `?format=html` write it for people."""
        wanted, form, context = number(request), request.query.get("format", "json"), self._context
        if form not in FORMATS:
            raise web.HTTPBadRequest(text=f"format={form[:40]}: write one of {', '.join(FORMATS)}\n")
        report = await context.store.read(lambda c: gather.report(c, context.settings, wanted, context.clock()))
        if report is None:
            return not_found("deployment", wanted)
        if form == "markdown":
            return web.Response(text=rendering.as_markdown(report), content_type="text/markdown")
        if form == "html":
            headers = {**rendering.HEADERS, OURS: "report"}
            return web.Response(text=rendering.as_html(report), content_type="text/html", headers=headers)
        return web.json_response(report)
