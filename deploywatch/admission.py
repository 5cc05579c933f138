"""What is asked of every request before anything is done for it: by what way it came, and how large it may be."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_urldispatcher import AbstractRoute

from deploywatch.bodies import Bodies, TooLargeError, TooMuchError

STRANGER_BYTES = 64 * 1024
"""Bytes of a body that is read for one who has shown no credential."""
STRANGER_SECONDS = 10.0
"""How long such a body may take to arrive."""
REQUEST_BYTES = 1024**2
"""Bytes of a body that is read for one who has shown a credential, or needs none; webhooks may be larger."""
TOGETHER_BYTES = 32 * 1024**2
"""Bytes of such bodies that are held at the same time."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"

R = TypeVar("R", bound=AbstractRoute)
_TAKES_FORMS: WeakSet[AbstractRoute] = WeakSet()


def takes_forms(route: R) -> R:
    """The route, to which a page's form may be posted from now on."""
    _TAKES_FORMS.add(route)
    return route


def no_hosts() -> Iterable[str]:
    """The further names of a server that has none."""
    return ()


def admission(
    *,
    open_paths: frozenset[str],
    checks_host: Callable[[], bool],
    own_hosts: Callable[[], Iterable[str]],
    large_paths: frozenset[str] = frozenset(),
) -> Middleware:
    """A middleware that refuses what a web page of another origin, or an unread body, could do harm with.

    `checks_host` says whether nothing but the way to this server protects it: a name in `Host` that is neither
    loopback's nor among `own_hosts` was then made to point here by somebody else (DNS rebinding). Forms are taken on
    `open_paths` and by routes that are marked with `takes_forms`. Bodies are read here, bounded in size, in time, and
    all together; what is posted to `large_paths` is read there.
    """
    bodies = Bodies(together=TOGETHER_BYTES)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = _refused_origin(request, own_hosts if checks_host() else None) or _refused_body(request, open_paths)
        if refused is not None:
            return refused
        if not request.body_exists or request.method in _SAFE or request.path in large_paths:
            return await handler(request)
        if request.path in open_paths:
            return await _for_stranger(request, handler)
        return await _for_known(request, handler, bodies)

    return middleware


async def _for_stranger(request: web.Request, handler: Handler) -> web.StreamResponse:
    request = request.clone(client_max_size=STRANGER_BYTES)
    try:
        async with asyncio.timeout(STRANGER_SECONDS):
            await request.read()
    except TimeoutError:
        return _closing(408, f"the body did not arrive within {STRANGER_SECONDS:g} s")
    except web.HTTPRequestEntityTooLarge:
        return _closing(413, f"the body is larger than {STRANGER_BYTES} bytes")
    return await handler(request)


async def _for_known(request: web.Request, handler: Handler, bodies: Bodies) -> web.StreamResponse:
    try:
        async with bodies.read(request, limit=REQUEST_BYTES) as body:
            request._read_bytes = body  # what request.read() gives; it has no other way to be told
            return await handler(request)
    except TooLargeError as error:
        return _closing(413, str(error))
    except TooMuchError as error:
        response = _closing(503, f"try again: {error}")
        response.headers["Retry-After"] = "1"
        return response


def _refused_origin(request: web.Request, own_hosts: Callable[[], Iterable[str]] | None) -> web.Response | None:
    """403 for what another origin's page makes a browser send, and for a name that is not ours."""
    host = request.headers.get("Host", "")
    if own_hosts is not None and host and not _is_ours(host, own_hosts()):
        return _closing(403, "this server is not called what Host says; name it in external_url, or use its address")
    if request.method in _SAFE:
        return None
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    by_origin = origin is not None and _netloc(origin) != host.lower()
    foreign = by_origin if site is None else site not in _OWN_SITES
    return _closing(403, "a page of another origin may not ask for this") if foreign else None


def _refused_body(request: web.Request, open_paths: frozenset[str]) -> web.Response | None:
    """415 for a body in another coding, type or charset than is read here."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return _closing(415, "bodies are not decompressed here; send it without Content-Encoding")
    if request.method in _SAFE or not request.body_exists:
        return None
    by_form = request.path in open_paths or request.match_info.route in _TAKES_FORMS
    wanted = (_JSON, FORM) if by_form else (_JSON,)
    # Such as CloudEvents': a page of another site cannot send them unasked, as little as plain JSON.
    is_json = request.content_type.startswith("application/") and request.content_type.endswith("+json")
    if request.content_type not in wanted and not is_json:
        return _closing(415, f"the body's Content-Type must be {' or '.join(wanted)}")
    if (request.charset or "utf-8").lower() not in _CHARSETS:
        return _closing(415, "the body's charset must be utf-8")
    return None


def _closing(status: int, text: str) -> web.Response:
    """A refusal after which the connection ends: the rest of the body is not waited for."""
    response = web.Response(status=status, text=f"{text}\n")
    response.force_close()
    return response


def _is_ours(host: str, own_hosts: Iterable[str]) -> bool:
    """Whether nobody else can have made this name point here: an address, loopback's name, or one of our own."""
    name = _hostname(host)
    return (
        name == "localhost"
        or name.endswith(".localhost")
        or _is_address(name)
        or name in {own.lower() for own in own_hosts if own}
    )


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
