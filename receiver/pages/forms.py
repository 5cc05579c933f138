"""The console's forms: each is posted to a function of the API, and leads back to a page with 303."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlencode

from aiohttp import web

from deploywatch.access.scopes import needs
from deploywatch.access.webconfig import USER
from deploywatch.receiver import api
from deploywatch.receiver.api.acting import NAME_COOKIE
from deploywatch.receiver.api.routing import Route
from deploywatch.receiver.pages.console import Console, Handler
from deploywatch.web.admission import takes_forms

_INCIDENT = "/incidents/{id}"
_YEAR_SECONDS = 366 * 86400

FORMS: Final = {
    "/incidents/acknowledge": "/",
    **{
        f"{_INCIDENT}/{verb}": _INCIDENT
        for verb in ("acknowledge", "resolve", "comment", "commander", "mitigate", "update", "review", "check")
    },
    f"{_INCIDENT}/approve": _INCIDENT,
    f"{_INCIDENT}/reject": _INCIDENT,
    f"{_INCIDENT}/rollback": f"{_INCIDENT}/rollback",
    "/rollbacks/allow": "/",
    "/deployments/{id}/accept": "/deployments/{id}",
    "/gate/approvals": "/gate",
    "/gate/approvals/{id}/withdraw": "/gate",
    "/maintenance": "/maintenance",
    "/maintenance/{id}/end": "/maintenance",
    "/screens/{id}/revoke": "/screens",
}
"""By path of the API, below its prefix, which is the form's path too: the page that comes after it."""


def add_forms(app: web.Application, console: Console, *, queued: Callable[[], None]) -> None:
    """Add a route for each form, with the scope of the API's route."""
    # The API's own handlers: a form can do no more and no less than a program, with the same checks and the same audit.
    by_path = {route.path: route for route in api.routes(console.context, queued=queued) if route.method == "POST"}
    for path, after in FORMS.items():
        route = by_path[path]
        added = app.router.add_post(path.replace("{id}", r"{id:\d+}"), console.guarded(_posting(console, route, after)))
        takes_forms(needs(route.scope, added))


def _posting(console: Console, route: Route, after: str) -> Handler:
    async def post(request: web.Request) -> web.StreamResponse:
        back = after.replace("{id}", request.match_info.get("id", ""))
        try:
            done = await route.handler(request)
        except web.HTTPClientError as error:
            return await console.refused(request, _readable(error.text or ""), status=error.status, back=back)
        if done.status >= 400:
            return await console.refused(request, _readable(done.text or ""), status=done.status, back=back)
        # 303, so that reloading the page afterwards does not send the form once more.
        response = web.Response(status=303, headers={"Location": console.path(await _after(request, back))})
        await _remember(request, response, console)
        return response

    return post


async def _after(request: web.Request, back: str) -> str:
    """The page after a form; an approval leads back to the gate that it was given for, and to who deploys."""
    if back != "/gate":
        return back
    sent = await request.post()
    asked = {name: str(sent.get(name, "")) for name in ("service", "environment", "version", "artifact")}
    asked["deployer"] = request.query.get("deployer", "")
    return f"{back}?{urlencode({name: value for name, value in asked.items() if value})}"


async def _remember(request: web.Request, response: web.Response, console: Console) -> None:
    """Keep the name that was written into a form, where nobody signed in."""
    name = str((await request.post()).get("by", ""))
    # Whoever is signed in is known anyway; a cookie beside it could only say something else.
    if name and not request.get(USER):
        response.set_cookie(
            NAME_COOKIE,
            quote(name),
            max_age=_YEAR_SECONDS,
            path=console.path("/"),
            httponly=True,
            samesite="Lax",
            secure=request.secure,
        )


def _readable(text: str) -> str:
    """The API's reason without its JSON paths, for people: `$.by: …` is about the field."""
    return text.strip().replace("$.", "").removeprefix("$: ")
