"""A deployment's performance before and after, over HTTP, as JSON or Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web

from deploywatch.access.scopes import Scope
from deploywatch.errors import UnreachableError
from deploywatch.receiver.api.routing import Route, not_found, number
from deploywatch.receiver.api.schemas.performance import PerformanceAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.report import performance_asked
from deploywatch.verdict.plan import Plan

USUAL_DAYS = 7
MOST_DAYS = 90


def _only(plans: Sequence[Plan]) -> Plan:
    """The verification plan that says which series there are; 409 where it is not one."""
    if len(plans) == 1:
        return plans[0]
    what = "several verification plans cover" if plans else "no verification plan covers"
    raise web.HTTPConflict(text=f"{what} this service and environment, so nobody knows which series it has\n")


class PerformanceRoutes:
    """The route of a deployment's performance."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """The only route."""
        path = "/deployments/{id}/performance"
        query = ("days", "format")
        return (Route("GET", path, Scope.READ, self.performance, query=query, answer=PerformanceAnswer),)

    async def performance(self, request: web.Request) -> web.Response:
        """How the service performed in the `?days=` after a deployment against before it; `?format=markdown`."""
        wanted, context = number(request), self._context
        days, form = _days(request), request.query.get("format", "json")
        if form not in ("json", "markdown"):
            raise web.HTTPBadRequest(text=f"format={form[:40]}: write json or markdown\n")
        deployment = await context.store.read(lambda c: ledger.find(c, wanted))
        if deployment is None:
            return not_found("deployment", wanted)
        plan = _only(context.settings.verification.plans_of(deployment.service, deployment.environment))
        try:
            report = await performance_asked.performance(context, deployment, plan, days)
        except UnreachableError as error:
            raise web.HTTPServiceUnavailable(text=f"{context.conceal(str(error))}\n") from error
        if form == "markdown":
            return web.Response(text=performance_asked.markdown(report), content_type="text/markdown")
        return web.json_response(report.to_json())


def _days(request: web.Request) -> int:
    text = request.query.get("days", str(USUAL_DAYS))
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= MOST_DAYS:
        raise web.HTTPBadRequest(text=f"days={text[:40]}: write a number from 1 to {MOST_DAYS}\n")
    return int(text)
