"""The page of screens with a link: which there are, a new one whose link is shown this once, and revoking."""

from __future__ import annotations

from aiohttp import web

from deploywatch.access.scopes import Scope, needs
from deploywatch.receiver import screens
from deploywatch.receiver.api.screens import Screens
from deploywatch.receiver.pages.console import Console, Handler
from deploywatch.web.admission import takes_forms

_PATH = "/screens"


class ScreensPage:
    """`/screens`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The path, and what answers it."""
        return ((_PATH, self._listed),)

    async def _listed(self, request: web.Request) -> web.Response:
        rows = await self._console.context.store.read(screens.listed)
        return await self._console.page(request, "screens.html", screens=rows, made=None, url="")


def add_making(app: web.Application, console: Console) -> None:
    """Add the form that makes one: it answers with the page, because its link is shown this once."""

    async def make(request: web.Request) -> web.Response:
        made, url = await Screens(console.context).made(request)
        rows = await console.context.store.read(screens.listed)
        return await console.page(request, "screens.html", screens=rows, made=made, url=url)

    takes_forms(needs(Scope.RESPOND, app.router.add_post(_PATH, console.guarded(make))))
