"""The exporter as a server: its lifecycle, its routes, and its metrics of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from deploywatch.access.webconfig import Access
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.http.config_route import ConfigRoute
from deploywatch.exporter.http.health_routes import HealthRoutes
from deploywatch.exporter.http.landing import Landing, changed
from deploywatch.exporter.http.metrics import MetricsRoute
from deploywatch.exporter.http.probe_route import ProbeRoute
from deploywatch.exporter.http.self_metrics import Own
from deploywatch.pages.live import Live
from deploywatch.pages.static import STATIC_PATHS, add_static
from deploywatch.web.prefix import NOT_SAID, External
from deploywatch.web.serving import Server


def make_server(exporter: Exporter, *, listen: str, web_config: Path | None, external: External = NOT_SAID) -> Server:
    """The server with all its routes; probing begins and ends with it."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(Own(exporter))
    access = Access(web_config)
    registry.register(access.guesses)
    server = Server(
        name="exporter",
        listen=listen,
        access=access,
        registry=registry,
        ready=exporter.not_ready,
        reload=exporter.reload,
        # Kubernetes' probes have no credential, and these two paths say nothing of the targets.
        open_paths=frozenset({"/health/live", "/health/ready"}) | STATIC_PATHS,
        external=external,
    )

    async def probing(_: web.Application) -> AsyncIterator[None]:
        exporter.start()
        yield
        await exporter.stop()

    async def look() -> str:
        return changed(exporter)

    # Begins with the server and ends with it: no probe runs before the port is bound.
    server.app.cleanup_ctx.append(probing)
    health_routes = HealthRoutes(exporter)
    health_routes.add_to(server.app)
    MetricsRoute(exporter, registry).add_to(server.app)
    ProbeRoute(exporter).add_to(server.app)
    ConfigRoute(exporter).add_to(server.app)
    Landing(exporter, health_routes, Live(look, registry), external.links).add_to(server.app)
    add_static(server.app)
    return server
