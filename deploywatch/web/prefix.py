"""The path that a server stands below, as a proxy in front of it is told: `--web.external-url`, `--web.route-prefix`.

The meaning is Prometheus's. The path of the external URL stands before every path that a page links to. The route
prefix is what requests bear when they arrive here: the same path, unless a proxy takes it off (`--web.route-prefix=/`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from yarl import URL

from deploywatch.access.scopes import Scope, needs
from deploywatch.errors import DeploywatchError

LINKS: web.AppKey[Callable[[], str]] = web.AppKey("links")
"""In an application: gives the path before every link of its pages, without a slash at its end."""

_ROOT, _OUTSIDE = "/-/root", "/-/outside"
_ELSEWHERE = {"": _ROOT, "/": _ROOT}


def under(request: web.Request, path: str) -> str:
    """The path as a browser has to ask for it: what every link, form and redirect of a page bears."""
    return f"{link_prefix(request)}{path}"


def link_prefix(request: web.Request) -> str:
    """What stands before every path of a page: such as `/deploywatch`, or nothing."""
    given = request.config_dict.get(LINKS)
    return given() if given else ""


def url_fault(url: str) -> str:
    """What is wrong with an external URL; nothing, when it is good or empty."""
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment
        _ = parts.port
    except ValueError:
        wrong = True
    return "write where people reach it, such as https://ops.example.com/deploywatch/" if url and wrong else ""


def path_of(url: str) -> str:
    """The path of a URL, without a slash at its end."""
    return urlsplit(url).path.rstrip("/")


@dataclass(frozen=True, slots=True)
class External:
    """What the command line says of the way to a server: the URL that people use, and the prefix of its routes."""

    url: str = ""
    route_prefix: str | None = None

    def __post_init__(self) -> None:
        """DeploywatchError when one of them is not what it has to be."""
        if fault := url_fault(self.url):
            raise DeploywatchError(f"--web.external-url {self.url!r}: {fault}")
        prefix = self.route_prefix
        if prefix is not None and (not prefix.startswith("/") or urlsplit(prefix).path != prefix or "//" in prefix):
            raise DeploywatchError(f"--web.route-prefix {prefix!r}: write a path, such as / or /deploywatch")

    @property
    def links(self) -> str:
        """The path before every link; without a slash at its end."""
        return path_of(self.url)

    @property
    def routes(self) -> str:
        """The path before every route; without a slash at its end."""
        return self.links if self.route_prefix is None else self.route_prefix.rstrip("/")

    @property
    def host(self) -> str:
        """The name by which browsers call the server."""
        return urlsplit(self.url).hostname or ""


NOT_SAID = External()
"""The way to a server of which the command line says nothing: it stands at the root."""


def strip_from(server: web.Server | None, prefix: str) -> None:
    """Make a server take the prefix off every request before anything looks at its path; what lacks it is 404."""
    if server is None or not prefix:
        return
    # There, because aiohttp chooses the route before any middleware sees the request.
    make = server.request_factory

    def request(message: Any, *rest: Any) -> web.BaseRequest:
        return make(message._replace(**_within(message.url, prefix)), *rest)

    server.request_factory = request


def redirect_root(app: web.Application, prefix: str) -> None:
    """Send a browser that asks for the root on to the prefix, as Prometheus does; everything else outside is 404."""

    async def onward(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{prefix}/"})

    if prefix:
        needs(Scope.READ, app.router.add_get(_ROOT, onward))


def _within(url: URL, prefix: str) -> dict[str, Any]:
    """What changes in a request's first line once the prefix is taken off."""
    whole = url.raw_path
    # The raw path, so that %2F in a service's name stays one part of it.
    path = (whole[len(prefix) :] or "/") if f"{whole}/".startswith(f"{prefix}/") else _ELSEWHERE.get(whole, _OUTSIDE)
    inside = URL.build(path=path, query_string=url.raw_query_string, encoded=True)
    return {"path": str(inside), "url": inside}
