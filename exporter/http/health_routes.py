"""The routes under /health: for load balancers, smoke tests, and the receiver's check after a rollback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from deploywatch import __version__, json_text
from deploywatch.access.scopes import Scope, needs
from deploywatch.exporter.board.record import Record
from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.health import services as health
from deploywatch.exporter.health.probes import ProbeHealth, Status, of_record, worst
from deploywatch.exporter.http.health_fields import (
    FRESH,
    bodies,
    deadline_of,
    is_fresh,
    ping_time,
    serves,
    tenant_count,
)
from deploywatch.exporter.pacing import Servers, pace
from deploywatch.exporter.results import Reason, Result, iso
from deploywatch.exporter.schedule import GoneError
from deploywatch.exporter.settings.refusal import told
from deploywatch.exporter.settings.selection import INTEGRATION
from deploywatch.web.long_requests import Long, takes_long

# The part of the deadline for which a run waits for others at its server.
_IMPATIENCE = 10

Handler = Callable[[web.Request], Awaitable[web.Response]]
Chosen = Callable[[Record], bool]


class HealthRoutes:
    """Answers from the board; with `fresh=1` what is asked for is probed for the answer."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._board = exporter.board

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        needs(Scope.READ, app.router.add_get("/health/live", self._live))
        needs(Scope.READ, app.router.add_get("/health/ready", self._ready))
        for path, handler in {
            "/health": self._whole,
            "/health/services/{service}": self._service,
            "/health/database": self._kind("postgres", tenant_count),
            "/health/redis": self._kind("redis", ping_time),
            "/health/integrations": self._integrations,
        }.items():
            takes_long(Long.FRESH, needs(Scope.READ, app.router.add_get(path, handler)), when=is_fresh)

    async def answers(self, request: web.Request) -> list[tuple[str, int, str]]:
        """What the paths that load balancers ask answer now: each path, its HTTP status, and the word or why not."""
        # A page that is looked at is no reason to probe.
        kept = [(name, value) for name, value in request.query.items() if name != FRESH]
        request = request.clone(rel_url=request.rel_url.with_query(kept))
        asked = {
            "/health": self._whole,
            "/health/ready": self._ready,
            "/health/live": self._live,
            "/health/database": self._kind("postgres", tenant_count),
            "/health/redis": self._kind("redis", ping_time),
            "/health/integrations": self._integrations,
        }
        answers = []
        for path, handler in asked.items():
            answer = await handler(request)
            body = json_text.parse(answer.text or "{}")
            answers.append((path, answer.status, str(body.get("status") or body.get("error", ""))))
        return answers

    async def _whole(self, request: web.Request) -> web.Response:
        environment = request.query.get("environment")
        probes = await self._probes(request, _in(environment))
        services = health.services(probes, self._board.dependencies)
        refused = self._refused_modules()
        if not services:
            return self._not_found(f"no service in environment {environment!r}", **refused)
        status = health.whole(services.values())
        return self._answer(status, services=[service.body() for service in services.values()], **refused)

    def _refused_modules(self) -> dict[str, Any]:
        """The modules that cannot run, each with why; nothing where all can."""
        told_of = {name: told(problems) for name, problems in self._exporter.settings.refused.items()}
        return {"refusedModules": told_of} if told_of else {}

    async def _live(self, _: web.Request) -> web.Response:
        return self._answer(Status.HEALTHY)

    async def _ready(self, _: web.Request) -> web.Response:
        """Ready when every probe had its turn at the start, and nothing is down without which nothing can be served."""
        reason = self._exporter.not_ready()
        if reason:
            return self._answer(Status.UNKNOWN, reason=reason)
        probes = [probe for probe in self._known_all() if probe.required and not probe.new]
        bad = [probe for probe in probes if not serves(probe)]
        failing = {"/".join(probe.key): probe.error or "not probed for a while" for probe in bad}
        # Healthy is in it, as without any required probe nothing can be bad.
        status = worst([Status.HEALTHY, *(probe.status for probe in bad)])
        return self._answer(status, **({"failing": failing} if failing else {}))

    def _kind(self, kind: str, more: Callable[[list[ProbeHealth]], dict[str, Any]]) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            here = _in(request.query.get("environment"))
            probes = await self._probes(request, lambda record: record.target.kind == kind and here(record))
            if not probes:
                return self._not_found(f"no {kind} probe is configured")
            status = worst(probe.status for probe in probes if not probe.new)
            errors = [f"{'/'.join(probe.key)}: {probe.error}" for probe in probes if probe.error]
            error = {"error": "; ".join(errors)} if errors else {}
            return self._answer(status, **error, **more(probes), probes=bodies(probes))

        return answer

    async def _integrations(self, request: web.Request) -> web.Response:
        """Source 000: one that is down makes the whole unhealthy; the answer says which."""
        here = _in(request.query.get("environment"))
        probes = await self._probes(request, lambda record: INTEGRATION in record.target.settings.tags and here(record))
        if not probes:
            return self._not_found(
                f"no probe has the tag {INTEGRATION!r}; add tags: [{INTEGRATION}] to those of others"
            )
        known = [probe for probe in probes if not probe.new]
        status = worst(probe.status for probe in known)
        failing = ["/".join(probe.key) for probe in known if probe.status is not Status.HEALTHY]
        return self._answer(status, allHealthy=not failing, failing=failing, integrations=bodies(probes))

    async def _service(self, request: web.Request) -> web.Response:
        key = self._find(request.match_info["service"], request.query.get("environment"))
        if isinstance(key, web.Response):
            return key
        # Of what it depends on the last results count: `fresh` is for the service that was asked for.
        others = {ServiceKey(name, key.environment) for name in self._board.dependencies.get(key, ())}
        probes = await self._probes(request, lambda record: record.target.key.owner == key)
        service_health = health.services(probes + self._known(others), self._board.dependencies).get(key)
        if service_health is None:
            return self._not_found(f"{key.service} is no longer probed")
        body = {
            **service_health.body(),
            **self._about(),
            "version": service_health.body()["version"],
            "environment": key.environment,
        }
        return web.json_response(body, status=service_health.status.http)

    async def _probes(self, request: web.Request, chosen: Chosen) -> list[ProbeHealth]:
        """The chosen probes with their last results; with `fresh` those of runs that begin now."""
        records = [record for record in self._board.records.values() if chosen(record)]
        if not is_fresh(request):
            return [self._last(record) for record in records]
        deadline, servers = deadline_of(request), Servers()
        end = asyncio.get_running_loop().time() + deadline
        tasks: list[asyncio.Task[ProbeHealth | None]] = []
        try:
            for record in records:
                if tasks:
                    await pace(self._exporter.clock)
                tasks.append(asyncio.create_task(self._fresh(record, servers, deadline, end)))
            return [probe for probe in await asyncio.gather(*tasks) if probe]
        finally:
            for task in tasks:
                task.cancel()

    async def _fresh(self, record: Record, servers: Servers, deadline: float, end: float) -> ProbeHealth | None:
        """A run that is not done at the `end` of the deadline goes on, but counts as failed here; None for one gone."""
        key, started = record.target.key, self._exporter.clock.now()
        try:
            async with asyncio.timeout_at(end), servers.turn(record.target, deadline / _IMPATIENCE) as server:
                result = await self._exporter.scheduler.fresh(key)
                server.note(result, record.target)
        except GoneError:
            return None
        # The run itself goes on: it is the schedule's as well, and its result reaches the board.
        except TimeoutError:
            result = Result(started, deadline, Reason.DEADLINE, f"no fresh result within {deadline:g} s")
        return of_record(record, result, started=self._exporter.started)

    def _known(self, owners: set[ServiceKey]) -> list[ProbeHealth]:
        return [self._last(record) for key, record in self._board.records.items() if key.owner in owners]

    def _known_all(self) -> list[ProbeHealth]:
        return [self._last(record) for record in self._board.records.values()]

    def _last(self, record: Record) -> ProbeHealth:
        return of_record(record, self._board.current(record), started=self._exporter.started)

    def _find(self, service: str, environment: str | None) -> ServiceKey | web.Response:
        owners = {key.owner for key in self._board.records}
        places = sorted(owner.environment for owner in owners if owner.service == service)
        # The default environment is meant where the service is in it; between others nobody should guess.
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

    def _answer(self, status: Status, **more: Any) -> web.Response:
        return web.json_response({"status": str(status), **self._about(), **more}, status=status.http)

    def _not_found(self, reason: str, **more: Any) -> web.Response:
        return web.json_response({"error": reason, **more}, status=404)

    def _about(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "environment": self._exporter.settings.environment,
            "timestamp": iso(self._exporter.clock.now()),
        }


def _in(environment: str | None) -> Chosen:
    return lambda record: environment in {None, record.target.key.environment}
