"""The pages on which people decide: a rollback with all that it would do, and the end of an incident."""

from __future__ import annotations

from aiohttp import web

from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.actions.rollback.outlook import outlook
from deploywatch.receiver.actions.rollback.situation import ApprovalState
from deploywatch.receiver.api.routing import number
from deploywatch.receiver.deployments import ledger, verdicts
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.pages.console import Console, Handler
from deploywatch.receiver.pages.incident import PATH
from deploywatch.receiver.rendering.filters import worst_first


class DecisionPages:
    """`/incidents/7/rollback` and `/incidents/7/resolve`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The paths, and what answers each."""
        return (
            (f"{PATH}/rollback", self._rollback),
            (f"{PATH}/resolve", self._resolve),
        )

    async def _rollback(self, request: web.Request) -> web.Response:
        wanted, context = number(request), self._console.context
        now = context.clock()
        incident = await context.store.read(lambda c: store.find(c, wanted))
        if incident is None:
            return await self._console.missing(request, f"incident {wanted}")
        ahead = await context.store.read(lambda c: outlook(c, context, incident))
        asked = await context.store.read(lambda c: approval.latest(c, wanted))
        firing = await context.store.read(lambda c: [alert for alert in alert_views.views(c, wanted) if alert.firing])
        bad, proof = ahead.deployment, ""
        if asked is not None:
            question = asked
            bad = await context.store.read(lambda c: ledger.find(c, question.deployment_id)) or bad
        if bad is not None:
            of = bad.id
            proof = await context.store.read(lambda c: verdicts.proof(c, of))
        waits = asked is not None and asked.state is ApprovalState.WAITING and asked.expires_at > now
        return await self._console.page(
            request,
            "rollback.html",
            incident=incident,
            ahead=ahead,
            asked=asked,
            waits=waits,
            bad=bad,
            proof=proof,
            firing=worst_first(firing),
            view=incident.view(),
        )

    async def _resolve(self, request: web.Request) -> web.Response:
        wanted, context = number(request), self._console.context
        incident = await context.store.read(lambda c: store.find(c, wanted))
        if incident is None:
            return await self._console.missing(request, f"incident {wanted}")
        views = await context.store.read(lambda c: alert_views.views(c, wanted))
        firing = worst_first(view for view in views if view.firing)
        return await self._console.page(request, "resolve.html", incident=incident, firing=firing, view=incident.view())
