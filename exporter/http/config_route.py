"""`/config`: the configuration that is in force, without its secrets."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from ruamel.yaml import YAML

from deploywatch.access.scopes import Scope, needs
from deploywatch.config import redacted
from deploywatch.exporter.exporter import Exporter


class ConfigRoute:
    """Shows the configuration, as YAML or to whom asks as JSON."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        # Not READ: it shows every address in the network that is probed, though no secret.
        needs(Scope.ADMIN, app.router.add_get("/config", self._config))

    async def _config(self, request: web.Request) -> web.Response:
        shown = redacted(self._exporter.settings)
        if "application/json" in request.headers.get("Accept", "") or request.query.get("format") == "json":
            return web.json_response(shown)
        return web.Response(text=as_yaml(shown), content_type="application/yaml")


def as_yaml(data: Mapping[str, Any]) -> str:
    """Plain data as YAML."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(data, stream)
    return stream.getvalue()
