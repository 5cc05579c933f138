"""The routes of both servers, as they really are: whoever adds one is in every test that walks them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
from aiohttp import web

from deploywatch.access.webconfig import Access
from deploywatch.clock import utc_now
from deploywatch.exporter import config as exporter_config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from deploywatch.receiver.app import Receiver
from deploywatch.receiver.context import Context
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import Store
from deploywatch.web.prefix import NOT_SAID, External
from deploywatch.web.serving import Server

LISTEN = "127.0.0.1:0"


class Routed(NamedTuple):
    """One route: `path` has `{name}` where a value stands."""

    route: web.AbstractRoute
    method: str
    path: str

    @property
    def concrete(self) -> str:
        """The path with a value, which is a number in the receiver."""
        path = self.path.replace("{id}", "1").replace("{number}", "1")
        return path.replace("{service}", "shop").replace("{environment}", "production")


async def receiver_server(folder: Path, web_config: Path | None = None, external: External = NOT_SAID) -> Server:
    """The receiver's server, which serves nobody: no store is opened."""
    settings = ReceiverConfig.model_validate(
        {"database": f"sqlite:///{folder}/routes.db", "external_url": external.url}
    )
    async with aiohttp.ClientSession() as http:
        context = Context(
            settings=settings,
            store=Store(settings.database.get_secret_value()),
            templates=Templates(None),
            channels={},
            http=http,
            clock=utc_now,
        )
        return Receiver(lambda: settings, settings, context, external).make_server(LISTEN, Access(web_config))


def exporter_server(folder: Path, web_config: Path | None = None) -> Server:
    """The exporter's server, which probes nothing."""
    file = folder / "routes.yml"
    file.write_text("modules: {web: {kind: http}}\n")
    return make_server(Exporter(file, exporter_config.load(file)), listen=LISTEN, web_config=web_config)


def routes(server: Server) -> Iterator[Routed]:
    """Every route but those that HEAD has beside GET."""
    for route in server.app.router.routes():
        if route.resource is not None and route.method != "HEAD":
            yield Routed(route, route.method, route.resource.canonical)
