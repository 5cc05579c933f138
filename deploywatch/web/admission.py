"""What is asked of every request before anything is done for it: by what way it came, and how large it may be."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_urldispatcher import AbstractRoute

from deploywatch.web.bodies import Bodies, TooLargeError, TooMuchError

# The largest that somebody unknown has reason to send is the form of the sign-in.
STRANGER_BYTES = 64 * 1024
"""Bytes of a body that is read for one who has shown no credential."""
STRANGER_SECONDS = 10.0
"""How long such a body may take to arrive."""
# Far more than any request to the API has, but for a long file of deployments, which is to be divided.
REQUEST_BYTES = 1024**2
"""Bytes of a body that is read for one who has shown a credential, or needs none; webhooks may be larger."""
TOGETHER_BYTES = 32 * 1024**2
"""Bytes of such bodies that are held at the same time."""

R = TypeVar("R", bound=AbstractRoute)


class Foreign(StrEnum):
    """Why a request is taken for one of somebody else's page."""

    HOST = "host"
    BROWSER_HOST = "browser_host"
    ORIGIN = "origin"


_SAID = {
    Foreign.HOST: "this server is not called what Host says; name it in external_url, or use its address",
    Foreign.BROWSER_HOST: "this server is not called what Host says, and a browser may not act here under another "
    "name; name it in external_url, or use its address",
    Foreign.ORIGIN: "a page of another origin may not ask for this",
}
_USUAL_PORTS = {"http": ":80", "https": ":443"}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})
_OTHER_SITES = frozenset({"cross-site", "same-site"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"

# Forms are what any page of the web may post without being asked, so a route must say that it takes them.
_TAKES_FORMS: WeakSet[AbstractRoute] = WeakSet()


def takes_forms(route: R) -> R:
    """The route, to which a page's form may be posted from now on."""
    _TAKES_FORMS.add(route)
    return route


def no_urls() -> Iterable[str]:
    """The external URLs of a server that has none."""
    return ()


def admission(
    *,
    open_paths: frozenset[str],
    checks_host: Callable[[], bool],
    own_urls: Callable[[], Iterable[str]],
    large_paths: frozenset[str] = frozenset(),
    refused: Callable[[Foreign], None] = lambda _: None,
) -> Middleware:
    """A middleware that refuses what a web page of another origin, or an unread body, could do harm with.

    `checks_host` says whether nothing but the way to this server protects it: a name in `Host` that is neither
    loopback's nor that of one of `own_urls` was then made to point here by somebody else (DNS rebinding). Forms are
    taken on `open_paths` and by routes that are marked with `takes_forms`. Bodies are read here, bounded in size, in
    time, and all together; what is posted to `large_paths` is read there. `refused` is told of each request that came
    from elsewhere.
    """
    bodies = Bodies(together=TOGETHER_BYTES)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        foreign = _foreign(request, own_urls(), checks_host=checks_host())
        if foreign is not None:
            refused(foreign)
            return _closing(403, _SAID[foreign])
        if (unread := _refused_body(request, open_paths)) is not None:
            return unread
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


def _foreign(request: web.Request, own_urls: Iterable[str], *, checks_host: bool) -> Foreign | None:
    """How it shows that a page of another origin, or another name, made a browser send this; None for all else.

    What changes something is taken as by Go 1.25's CrossOriginProtection: `Sec-Fetch-Site` says same-origin or none, or
    is not there, and `Origin` is ours or not there. Browsers alone send these; programs with a token need neither.
    """
    host, ours = request.headers.get("Host", ""), {_origin(url) for url in own_urls if url}
    # HTTP/1.0 sends no Host; a browser always does.
    named = host and not _is_ours(host, {_hostname(netloc) for _, netloc in ours})
    if named and checks_host:
        return Foreign.HOST
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if request.method in _SAFE:
        return Foreign.ORIGIN if site in _OTHER_SITES and not _is_followed(request) else None
    if site is None and origin is None:
        return None
    sent = _origin(origin or "")
    from_ours = bool(sent[1]) and sent in ours  # a proxy in front may have changed Host
    if named and not from_ours:
        return Foreign.BROWSER_HOST
    # The browser's own word is the best there is; Origin is for those that do not say it.
    if site is not None:
        return None if site in _OWN_SITES else Foreign.ORIGIN
    return None if from_ours or (sent[1] and sent[1] == host.lower()) else Foreign.ORIGIN


def _is_followed(request: web.Request) -> bool:
    """Whether the browser goes there as by a link, so that its user sees it; not a page's image, script or frame.

    Reading, too, has effects: a probe is sent where `/probe` names it, and streams take places.
    """
    return (request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")) == ("navigate", "document")


def _refused_body(request: web.Request, open_paths: frozenset[str]) -> web.Response | None:
    """415, or 501 by RFC 9112, for a body in another coding, type or charset than is read here."""
    codings = ",".join(request.headers.getall("Content-Encoding", ())).lower()  # each line of it, not the first alone
    if any(coding.strip() not in ("", "identity") for coding in codings.split(",")):
        return _closing(415, "bodies are not decompressed here; send it without Content-Encoding")
    if ",".join(request.headers.getall("Transfer-Encoding", ("chunked",))).strip().lower() != "chunked":
        return _closing(501, "bodies are not decompressed here; send it in chunks, or with its length")
    if request.method in _SAFE or not request.body_exists:
        return None
    by_form = request.path in open_paths or request.match_info.route in _TAKES_FORMS
    wanted = (_JSON, FORM) if by_form else (_JSON,)
    # Such as CloudEvents': as with plain JSON, a page of another site asks first (CORS preflight), and is told no.
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


def _is_ours(host: str, own: set[str]) -> bool:
    """Whether nobody else can have made this name point here: an address, loopback's name, or our own."""
    name = _hostname(host)
    return name == "localhost" or name.endswith(".localhost") or _is_address(name) or (bool(name) and name in own)


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str]:
    """Scheme, and host with port as browsers write it; empty for what is no address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.lower().removesuffix(_USUAL_PORTS.get(parts.scheme, " "))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
