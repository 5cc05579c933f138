"""What the console's pages share: who looks, what they may do, how many incidents wait, and how a page is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from markupsafe import Markup, escape
from sqlalchemy import Connection, func, select

from deploywatch.access.scopes import ALL_SCOPES, IDENTITY
from deploywatch.access.webconfig import USER
from deploywatch.pages import answer
from deploywatch.pages.environment import finalized, templates_in
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.api.acting import name_of
from deploywatch.receiver.context import Context
from deploywatch.receiver.rendering import stage_state
from deploywatch.receiver.rendering.filters import measured, web_link
from deploywatch.receiver.rendering.naming import apart
from deploywatch.receiver.store import StoreError, UnfitError
from deploywatch.receiver.store.schema import incidents

_CHANGE = web.RequestKey("change", str)
"""In a request for a page: what had changed before anything of it was read."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LONGEST = 5_000
"""Characters of one text on a page: browsers take very long to lay out more without a space."""


def _brief(value: Any) -> Any:
    """The value as it is put out; of a longer text it says how much is left out, which the API has."""
    shown = finalized(value)
    if not isinstance(shown, str) or isinstance(shown, Markup) or len(shown) <= _LONGEST:
        return shown
    return f"{shown[:_LONGEST]}… ({len(shown) - _LONGEST} more characters are not shown; the JSON has them)"


TEMPLATES = templates_in(Path(__file__).parent / "templates").overlay(finalize=_brief)


def _whole(text: str) -> Markup:
    """Text that is put out as long as it is, because somebody edits it."""
    return escape(finalized(text))


def _capitalized(text: str) -> str:
    """The sentence with a capital at its beginning, and no other changed."""
    return text[:1].upper() + text[1:]


TEMPLATES.filters.update(web_link=web_link, apart=apart, measured=measured)
TEMPLATES.filters.update(stage_state=stage_state.in_words, whole=_whole, capitalize_first=_capitalized)


class Console:
    """Answers with pages; `path` is a page's address with what stands before all of ours."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def path(self, path: str) -> str:
        """The path as a browser has to ask for it."""
        return f"{self.context.settings.path_prefix}{path}"

    async def page(self, request: web.Request, name: str, *, status: int = 200, **values: Any) -> web.Response:
        """A page of the console from a template; the number of those that wait stands in its title."""
        now = self.context.clock()
        waiting = await self.context.store.read(_waiting)
        asked = await self.context.store.read(lambda c: approval.waiting(c, now))
        identity = request.get(IDENTITY)
        count = waiting + len(asked)
        return answer.page(
            TEMPLATES,
            name,
            status=status,
            prefix=self.context.settings.path_prefix,
            now=now,
            me=request.get(USER, ""),
            claimed=name_of(request),
            may=identity.scopes if identity else ALL_SCOPES,
            count=count,
            icon="open" if count else "calm",
            here=request.path,
            change=request.get(_CHANGE, ""),
            **values,
        )

    async def missing(self, request: web.Request, what: str) -> web.Response:
        """404 for what is not there."""
        return await self.refused(request, f"There is no {what}.", status=404)

    async def refused(
        self, request: web.Request, why: str, *, status: int, back: str = "/", title: str = ""
    ) -> web.Response:
        """A page that says why something is not shown, or was not done, and leads back."""
        title = title or ("Not found" if status == 404 else "This was not done")
        return await self.page(request, "refused.html", status=status, title=title, why=why, back=back)

    def guarded(self, handler: Handler) -> Handler:
        """The handler, with 503 for trouble of the store and a page for every other refusal."""

        async def answered(request: web.Request) -> web.StreamResponse:
            try:
                # Before anything is read: a change that comes in between makes the page renew itself once too often,
                # and never too seldom.
                request[_CHANGE] = await self.context.store.changes()
                return await handler(request)
            except StoreError as error:
                return self.trouble(error)
            except UnfitError as error:
                return await self.refused(request, str(error), status=400)
            # The API's own refusals are text for programs; here they become a page that leads back.
            except web.HTTPClientError as error:
                return await self.refused(request, error.text or error.reason, status=error.status)

        return answered

    def trouble(self, error: StoreError) -> web.Response:
        """503: the page that says so asks the store for nothing."""
        response = answer.page(
            TEMPLATES, "trouble.html", status=503, prefix=self.context.settings.path_prefix, why=error
        )
        response.headers["Retry-After"] = "5"
        return response


def _waiting(connection: Connection) -> int:
    """How many open incidents nobody has in hand."""
    query = select(func.count()).select_from(incidents)
    wait = incidents.c.open_key.is_not(None), incidents.c.acknowledged_at.is_(None), incidents.c.quiet_since.is_(None)
    return connection.execute(query.where(*wait)).scalar_one()
