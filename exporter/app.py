"""The exporter as a server: its lifecycle, its routes, and its metrics of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deploywatch import __version__
from deploywatch.serving import Server
from deploywatch.webconfig import Access
from exporter.exporter import Exporter
from exporter.surface.health_routes import HealthRoutes
from exporter.surface.pages import Pages


def make_server(exporter: Exporter, *, listen: str, web_config: Path | None) -> Server:
    """The server with all its routes; probing begins and ends with it."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(_Own(exporter))
    server = Server(
        name="exporter",
        listen=listen,
        access=Access(web_config),
        registry=registry,
        ready=exporter.not_ready,
        reload=exporter.reload,
        open_paths=frozenset({"/health/live", "/health/ready"}),
    )

    async def probing(_: web.Application) -> AsyncIterator[None]:
        exporter.start()
        yield
        await exporter.scheduler.stop()

    server.app.cleanup_ctx.append(probing)
    HealthRoutes(exporter).add_to(server.app)
    Pages(exporter, registry).add_to(server.app)
    return server


class _Own(Collector):
    """How the exporter itself is doing, counted when it is asked."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        build = GaugeMetricFamily("deploywatch_build_info", "The version of deploywatch.", labels=["version", "part"])
        build.add_metric([__version__, "exporter"], 1)
        yield build
        probes = GaugeMetricFamily("deploywatch_exporter_probes", "Probes in the configuration.", labels=["layer"])
        for layer, count in sorted(self._exporter.probes_by_layer().items()):
            probes.add_metric([layer], count)
        yield probes
        yield CounterMetricFamily(
            "deploywatch_exporter_missed_runs",
            "Runs that were skipped because the one before was still not done.",
            value=self._exporter.scheduler.missed,
        )
