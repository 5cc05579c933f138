"""Screens over HTTP: which have a link to the wall, make one, revoke one."""

from __future__ import annotations

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.config import Settings
from deploywatch.receiver import screens
from deploywatch.receiver.api.auditing import audited
from deploywatch.receiver.api.routing import Name, Route, not_found, number, read_body
from deploywatch.receiver.api.schemas.screens import NewScreenAnswer, ScreenAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.screens import Screen

SCREEN = "/screen"
"""Where a screen's link leads."""


class NewScreen(Settings):
    """A screen that gets a link."""

    by: Name
    name: Name


class RevokeScreen(Settings):
    """Who takes a screen's link away."""

    by: Name


class Screens:
    """The routes below /screens."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        made, screen = NewScreenAnswer, ScreenAnswer
        return (
            Route("GET", "/screens", Scope.READ, self.screens, answer=list[ScreenAnswer]),
            Route("POST", "/screens", Scope.RESPOND, self.make, body=NewScreen, status=201, answer=made),
            Route("POST", "/screens/{id}/revoke", Scope.RESPOND, self.revoke, body=RevokeScreen, answer=screen),
        )

    async def screens(self, _: web.Request) -> web.Response:
        """List the screens that have a link to the wall, the newest first."""
        rows = await self._context.store.read(screens.listed)
        return web.json_response([_json(row) for row in rows])

    async def make(self, request: web.Request) -> web.Response:
        """Give a screen a link to the wall; the link is said this once."""
        screen, url = await self.made(request)
        return web.json_response(NewScreenAnswer(**_json(screen), url=url), status=201)

    async def made(self, request: web.Request) -> tuple[Screen, str]:
        """The screen that was asked for, and its link."""
        new, now, key = await read_body(request, NewScreen), self._context.clock(), screens.new_key()

        def write(connection: Connection) -> Screen:
            return screens.make(connection, key, new.name, now, new.by)

        made = await self._context.store.write(audited(request, now, write, by=new.by, sent=new))
        settings = self._context.settings
        base = settings.external_url.rstrip("/") or f"{request.scheme}://{request.host}{settings.path_prefix}"
        # Shown this once: only a hash of the key is stored.
        return made, f"{base}{SCREEN}?key={key}"

    async def revoke(self, request: web.Request) -> web.Response:
        """Take a screen's link away: it shows nothing more."""
        person, wanted, now = await read_body(request, RevokeScreen), number(request), self._context.clock()

        def write(connection: Connection) -> Screen | None:
            return screens.revoke(connection, wanted)

        gone = await self._context.store.write(audited(request, now, write, by=person.by, sent=person))
        return web.json_response(_json(gone)) if gone else not_found("screen", wanted)


def _json(screen: Screen) -> ScreenAnswer:
    """A screen as the API gives it."""
    made_at = screen.made_at.isoformat()
    return {"id": screen.id, "name": screen.name, "made_at": made_at, "made_by": screen.made_by}
