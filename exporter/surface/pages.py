"""The exporter's pages for people: /config and the landing page."""

from __future__ import annotations

import io
from html import escape

from aiohttp import web
from ruamel.yaml import YAML

from deploywatch import __version__
from deploywatch.config import redacted
from exporter import health
from exporter.exporter import Exporter
from exporter.health import ProbeHealth

_LINKS = {
    "/metrics": "Metrics",
    "/health": "Health",
    "/health/live": "Live",
    "/health/ready": "Ready",
    "/config": "Config",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>deploywatch exporter</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 75rem }}
table {{ border-collapse: collapse }}
td, th {{ padding: .25rem .75rem; text-align: left; border-bottom: 1px solid #8884 }}
.healthy {{ color: #176f2c }} .unhealthy {{ color: #b3261e; font-weight: bold }} .unknown {{ color: #6b6b6b }}
</style>
</head>
<body>
<h1>deploywatch exporter</h1>
<p>Version {version}. {links}</p>
<table>
<thead><tr><th>Service</th><th>Environment</th><th>Probe</th><th>Kind</th><th>Status</th><th>Reason</th>
<th>Response time</th><th>Last checked</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


class Pages:
    """Answers with what the exporter knows."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/config", self._config)
        app.router.add_get("/", self._landing)

    async def _config(self, request: web.Request) -> web.Response:
        shown = redacted(self._exporter.settings)
        if "application/json" in request.headers.get("Accept", "") or request.query.get("format") == "json":
            return web.json_response(shown)
        stream = io.StringIO()
        yaml = YAML()
        yaml.default_flow_style = False
        yaml.dump(shown, stream)
        return web.Response(text=stream.getvalue(), content_type="application/yaml")

    async def _landing(self, _: web.Request) -> web.Response:
        board = self._exporter.board
        rows = [
            _row(ProbeHealth(key, record.target.kind, board.current(record))) for key, record in board.records.items()
        ]
        links = " · ".join(f'<a href="{path}">{name}</a>' for path, name in _LINKS.items())
        page = _PAGE.format(version=escape(__version__), links=links, rows="\n".join(rows))
        return web.Response(text=page, content_type="text/html")


def _row(probe: ProbeHealth) -> str:
    result = probe.result
    cells = [
        *probe.key,
        probe.kind,
        str(probe.status),
        f"{result.reason}: {result.detail}" if result and result.reason else "",
        f"{result.duration * 1000:.1f} ms" if result else "",
        health.iso(result.started) if result else "",
    ]
    shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="{probe.status}">{shown}</tr>'
