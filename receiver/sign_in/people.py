"""Tells whose session a request shows, by what the store and the web config say now; sends others to the sign-in."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from deploywatch.access.guesses import Refusal
from deploywatch.access.scopes import Identity, Scope
from deploywatch.access.webconfig import Access
from deploywatch.receiver.context import Context
from deploywatch.receiver.sign_in import sessions
from deploywatch.receiver.sign_in.local_path import page_of, sign_in_path
from deploywatch.receiver.sign_in.sessions import LASTS, Session
from deploywatch.receiver.store import StoreError

_NAME = "deploywatch"


class People:
    """The sign-in as the guard of every request asks it."""

    def __init__(self, context: Context, access: Access) -> None:
        self._context = context
        self._access = access

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach us by TLS, here or at a proxy in front."""
        return self._access.ssl is not None or self._context.settings.external_url.startswith("https:")

    @property
    def cookie(self) -> str:
        """The cookie's name. With `__Host-` no other name of the domain can set it, and plain HTTP never sends it."""
        return f"__Host-{_NAME}" if self.is_secure else _NAME

    async def identify(self, request: web.Request) -> Identity | None:
        """Whose session this is; None for one that has ended, whose credential was changed, or of another name."""
        key = request.cookies.get(self.cookie, "")
        if not key:
            return None
        now = self._context.clock()
        try:
            session = await self._context.store.read(lambda connection: sessions.find(connection, key, now))
        except StoreError as error:
            # Not "signed out": whoever would sign in again now could not either.
            raise web.HTTPServiceUnavailable(text=f"{error}\n", headers={"Retry-After": "5"}) from error
        # A browser keeps its cookie from other names; a request with it under another name is not the browser's own.
        host = request.headers.get("Host", "").lower()
        identity = None
        if session is not None and session.host == host:
            identity = self._identity(session)
        if identity is None:
            self._access.guesses.note(Refusal.SESSION, request.remote or "")
        return identity

    def ask(self, request: web.Request, *, again: bool = False) -> web.Response | None:
        """To the sign-in, and back; only what a browser shows as a page, or what was sent there by a form."""
        is_page = request.method in ("GET", "HEAD") or (again and request.content_type != "application/json")
        if not is_page or not _navigates(request):
            return None
        prefix = self._context.settings.path_prefix
        location = prefix + sign_in_path(page_of(request, prefix), again=again)
        return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})

    def remember(self, response: web.Response, key: str) -> None:
        """Give the key to the browser."""
        response.set_cookie(
            self.cookie,
            key,
            max_age=int(LASTS.total_seconds()),
            path="/",
            secure=self.is_secure,
            httponly=True,
            # Lax: a link in Slack opens the page signed in; a form of another site sends no cookie.
            samesite="Lax",
        )

    def forget(self, response: web.Response) -> None:
        """Take it back."""
        response.del_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="Lax")

    def _identity(self, session: Session) -> Identity | None:
        known = self._access.still(session.kind, session.user, session.credential)
        if known is None:
            return None
        if session.is_fresh(self._context.clock()):
            return replace(known, session=session.id)
        # A phone that was left unlocked may look, and not roll back.
        lapsed = known.scopes & {Scope.APPROVE}
        return replace(known, session=session.id, scopes=known.scopes - lapsed, lapsed=lapsed)


def _navigates(request: web.Request) -> bool:
    """Whether a browser shows the answer as a page; one that does not say how it asks is known by what it takes."""
    mode = request.headers.get("Sec-Fetch-Mode")
    return mode == "navigate" if mode is not None else "text/html" in request.headers.get("Accept", "")
