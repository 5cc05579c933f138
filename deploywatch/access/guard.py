"""Asks every request who sends it: a credential, a certificate, a proxy's word, or a session of the console."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from deploywatch.access.guesses import BusyError, Refusal
from deploywatch.access.scopes import IDENTITY, STILL, Identity, Standing, needed
from deploywatch.access.webconfig import USER, Access

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="deploywatch", charset="UTF-8"'}
# A script of our own page must not make the browser ask for a password.
_QUIET_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="deploywatch"'}
# Enough for a line; a log must not take a page that somebody had answered.
_REASON = 200


class SignIn(Protocol):
    """The sign-in of people, where a server has one."""

    async def identify(self, request: web.Request) -> Identity | None:
        """Whose session the request shows; None where it shows none, or one that does not count."""

    def ask(self, request: web.Request, *, again: bool = False) -> web.Response | None:
        """Sends a browser to where people sign in, and back afterwards; None for what is no browser at a page."""


class NoSignIn:
    """A server that knows no sessions."""

    async def identify(self, request: web.Request) -> Identity | None:
        """Nobody."""
        return None

    def ask(self, request: web.Request, *, again: bool = False) -> web.Response | None:
        """Nobody is sent anywhere."""
        return None


def guard(access: Access, open_paths: frozenset[str], sign_in: SignIn | None = None) -> Middleware:
    """A middleware that asks for credentials, except on `open_paths`, and adds the configured headers."""
    people = sign_in or NoSignIn()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_open = request.path in open_paths
        try:
            # On an open path nobody is asked, yet a certificate that was shown still names who it is.
            guarded = access.required and not is_open
            identity = await _who(access, people, request) if guarded else access.certified(request)
        except BusyError as error:
            text = "too many passwords wait to be checked, or were wrong; try again\n"
            retry = {"Retry-After": str(error.retry_after)}
            return web.Response(status=429, text=text, headers={**access.headers, **retry})
        # Found first and answered last: the configured headers belong on refusals too.
        refused = _unknown(people, request) if identity is None else None
        if identity is not None:
            request[IDENTITY] = identity
            # A stream outlives the request that began it: it asks again whether who listens would still be let in.
            request[STILL] = Standing(partial(_still, access, people, request))
            if identity.verified:
                request[USER] = identity.name
            refused = None if is_open else _forbidden(people, identity, request)
        if refused is not None:
            refused.headers.update(access.headers)
            return refused
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(access.headers)
            raise
        # The headers of a stream are on their way already.
        if not response.prepared:
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            response.headers.update(access.headers)
        return response

    return middleware


def signatures(access: Access, signed_paths: frozenset[str]) -> Middleware:
    """A middleware that counts and logs wrong signatures, on the paths whose requests prove themselves by one."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if request.path in signed_paths and response.status in (401, 403):
            access.guesses.note(Refusal.SIGNATURE, request.remote or "", path=request.path, why=_said(response))
        return response

    return middleware


def _said(response: web.StreamResponse) -> str:
    """The reason that was answered, where it is a line of text and no page."""
    if not isinstance(response, web.Response) or response.content_type != "text/plain":
        return ""
    return (response.text or "").strip()[:_REASON]


async def _who(access: Access, people: SignIn, request: web.Request) -> Identity | None:
    """What was shown on purpose counts first: a header, then a certificate's name, a proxy's word, a session."""
    remote = request.remote or ""
    if authorization := request.headers.get("Authorization", ""):
        return await access.identify(authorization, remote)
    # A browser sends its session's cookie with every request whether anybody wants that or not, so it comes last.
    known = access.named_certificate(request) or await access.proxied(request) or await people.identify(request)
    if known is None:
        access.guesses.note(Refusal.MISSING, remote)
    return known


async def _still(access: Access, people: SignIn, request: web.Request) -> Identity | None:
    """Who asks, if what was shown then would be let in now."""
    try:
        identity = await _who(access, people, request) if access.required else access.certified(request)
    except (BusyError, web.HTTPServiceUnavailable):
        return request[IDENTITY]  # nobody can tell now; it is asked again
    scope = needed(request.match_info.route)
    return identity if identity is not None and (scope is None or scope in identity.scopes) else None


def _unknown(people: SignIn, request: web.Request) -> web.Response:
    """Who sends it is not known: people are asked to sign in, programs hear why."""
    asked = people.ask(request) if "Authorization" not in request.headers else None
    if asked is not None:
        return asked
    # Browsers that do not say are old ones; curl does not say either, and understands the challenge.
    by_script = request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    text = "credentials are missing or wrong\n"
    return web.Response(status=401, text=text, headers=_QUIET_CHALLENGE if by_script else _CHALLENGE)


def _forbidden(people: SignIn, identity: Identity, request: web.Request) -> web.Response | None:
    """Why who is known may not do this, or None."""
    scope = needed(request.match_info.route)
    if scope is None:
        return None
    if scope in identity.scopes:
        return None
    if scope in identity.lapsed:
        text = f"you signed in a while ago, and this needs the scope {scope}: sign in again\n"
        return people.ask(request, again=True) or web.Response(status=403, text=text)
    return web.Response(status=403, text=f"this credential may not do this: it needs the scope {scope}\n")
