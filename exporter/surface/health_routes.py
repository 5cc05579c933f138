"""The routes under /health: for load balancers, smoke tests, and the receiver's check after a rollback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from deploywatch import __version__
from exporter import health
from exporter.config import ServiceKey
from exporter.exporter import Exporter
from exporter.health import ProbeHealth, ServiceHealth, Status
from exporter.results import Result
from exporter.schedule import GoneError
from exporter.targets import Key

_KINDS = {"database": "postgres", "redis": "redis"}


class HealthRoutes:
    """Answers from the board; with `fresh=1` a service is probed for the answer."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._board = exporter.board

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/health", self._whole)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/health/services/{service}", self._service)
        for name, kind in _KINDS.items():
            app.router.add_get(f"/health/{name}", self._of_kind(kind))

    async def _whole(self, request: web.Request) -> web.Response:
        environment = request.query.get("environment")
        found = [one for key, one in self._services().items() if environment in {None, key.environment}]
        if not found:
            return self._not_found(f"no service in environment {environment!r}")
        status = health.worst(one.status for one in found)
        return self._answer(status, services=[one.body() for one in found])

    async def _live(self, _: web.Request) -> web.Response:
        return self._answer(Status.HEALTHY)

    async def _ready(self, _: web.Request) -> web.Response:
        reason = self._exporter.not_ready()
        return self._answer(Status.UNKNOWN, reason=reason) if reason else self._answer(Status.HEALTHY)

    def _of_kind(self, kind: str) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.Response:
            environment = request.query.get("environment")
            probes = [
                probe for probe in self._probes() if probe.kind == kind and environment in {None, probe.key.environment}
            ]
            if not probes:
                return self._not_found(f"no {kind} probe is configured")
            shown = [{**probe.key._asdict(), **probe.body()} for probe in probes]
            return self._answer(health.judge(probe.status for probe in probes), probes=shown)

        return answer

    async def _service(self, request: web.Request) -> web.Response:
        key = self._find(request.match_info["service"], request.query.get("environment"))
        if isinstance(key, web.Response):
            return key
        results: dict[Key, Result] = {}
        if request.query.get("fresh", "") not in {"", "0", "false"}:
            try:
                results = await self._probe_now(key)
            except GoneError as error:
                return self._not_found(str(error))
        found = self._services(results)[key]
        body = {**found.body(), **self._about(), "version": found.body()["version"], "environment": key.environment}
        return web.json_response(body, status=found.status.http)

    async def _probe_now(self, owner: ServiceKey) -> dict[Key, Result]:
        keys = [key for key in self._board.records if key.owner == owner]
        results = await asyncio.gather(*(self._exporter.scheduler.fresh(key) for key in keys))
        return dict(zip(keys, results, strict=True))

    def _find(self, service: str, environment: str | None) -> ServiceKey | web.Response:
        owners = {key.owner for key in self._board.records}
        places = sorted(owner.environment for owner in owners if owner.service == service)
        if environment is None and len(places) > 1 and self._exporter.settings.environment not in places:
            return web.json_response(
                {"error": f"{service} is in several environments, add ?environment= one of: {', '.join(places)}"},
                status=400,
            )
        if environment is None:
            environment = self._exporter.settings.environment
            if len(places) == 1:
                environment = places[0]
        if environment in places:
            return ServiceKey(service, environment)
        return self._not_found(f"no service {service!r} in environment {environment!r}")

    def _services(self, fresh: dict[Key, Result] | None = None) -> dict[ServiceKey, ServiceHealth]:
        return health.services(self._probes(fresh or {}), self._board.dependencies)

    def _probes(self, fresh: dict[Key, Result] | None = None) -> Iterable[ProbeHealth]:
        for key, record in self._board.records.items():
            result = (fresh or {}).get(key) or self._board.current(record)
            yield ProbeHealth(key, record.target.kind, result)

    def _answer(self, status: Status, **more: Any) -> web.Response:
        return web.json_response({"status": str(status), **self._about(), **more}, status=status.http)

    def _not_found(self, reason: str) -> web.Response:
        return web.json_response({"error": reason}, status=404)

    def _about(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "environment": self._exporter.settings.environment,
            "timestamp": health.iso(self._exporter.clock.now()),
        }
