"""Delivery over HTTP: DORA's five measures of each service and environment, and the mean time to recovery."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.quantity import format_duration, parse_duration
from deploywatch.receiver.api.routing import Route
from deploywatch.receiver.api.schemas.delivery import DeliveryAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import delivery

_MOST = timedelta(days=3660)
_LEAST = timedelta(days=1)


class DeliveryRoutes:
    """The route of the delivery measures."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        narrow = ("over", "service", "environment")
        return (Route("GET", "/delivery", Scope.READ, self.delivery, query=narrow, answer=DeliveryAnswer),)

    async def delivery(self, request: web.Request) -> web.Response:
        """Measure delivery over `?over=` (90d when not given); `?service=` and `?environment=` narrow it."""
        over, until = _over(request.query.get("over", "90d")), self._context.clock()
        since, settings = until - over, self._context.settings
        service, environment = request.query.get("service"), request.query.get("environment")

        def read(connection: Connection) -> list[delivery.Target]:
            return delivery.read(connection, since, service, environment)

        targets = await self._context.store.read(read)
        kept = format_duration(settings.keep_incidents)
        forgotten = f"incidents are kept for {kept} (keep_incidents); those before are not counted"
        answer: dict[str, Any] = {
            "since": since.isoformat(),
            "until": until.isoformat(),
            "enough": delivery.ENOUGH,
            "targets": [delivery.measure(target, since, until).to_json() for target in targets],
            "notes": [forgotten] if settings.keep_incidents < over else [],
        }
        return web.json_response(answer)


def _over(text: str) -> timedelta:
    try:
        over = parse_duration(text[:40])
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"over={text[:40]}: {error}\n") from error
    if not _LEAST <= over <= _MOST:
        raise web.HTTPBadRequest(text=f"over={text[:40]}: write a duration from 1d to {_MOST.days}d\n")
    return over
