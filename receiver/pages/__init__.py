"""The console: what people see of incidents and deployments, and act from; every form goes to a function of the API."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from deploywatch.access.scopes import Scope, needs
from deploywatch.access.webconfig import Access
from deploywatch.pages.live import PATH as LIVE
from deploywatch.pages.live import Live
from deploywatch.pages.static import add_static
from deploywatch.receiver.context import Context
from deploywatch.receiver.pages.console import Console
from deploywatch.receiver.pages.deployments import DeploymentPages
from deploywatch.receiver.pages.forms import add_forms
from deploywatch.receiver.pages.incident import IncidentPage
from deploywatch.receiver.pages.lists import Lists
from deploywatch.receiver.pages.now import NowPage
from deploywatch.receiver.pages.postmortem import PostmortemPage
from deploywatch.receiver.pages.rollback import DecisionPages
from deploywatch.receiver.pages.screens import ScreensPage, add_making
from deploywatch.receiver.pages.wall import SCREEN_LIVE, ScreenPage, WallPage
from deploywatch.web.long_requests import Long, takes_long


class Pages:
    """The routes that a browser asks for; `queued` is called when a change may have queued a job."""

    def __init__(self, context: Context, access: Access, live: Live, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._access = access
        self._live = live
        self._queued = queued

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and what pages load."""
        console = Console(self._context)
        parts = NowPage(console), IncidentPage(console), DecisionPages(console), DeploymentPages(console)
        postmortem = PostmortemPage(console)
        screens = ScreenPage(console, self._access, self._live)
        for part in (*parts, Lists(console), WallPage(console), ScreensPage(console), screens, postmortem):
            for path, handler in part.routes():
                route = needs(Scope.READ, app.router.add_get(path, console.guarded(handler)))
                if path == SCREEN_LIVE:
                    takes_long(Long.LIVE, route)
        takes_long(Long.LIVE, needs(Scope.READ, app.router.add_get(LIVE, self._live.stream)))
        app.on_shutdown.append(self._live.stop)
        postmortem.add_editing(app)
        add_making(app, console)
        add_forms(app, console, queued=self._queued)
        add_static(app)
