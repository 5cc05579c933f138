"""Where a redirect leads, and what may be sent there: what is the origin's own stays with it."""

from __future__ import annotations

from yarl import URL

from deploywatch.exporter.net.http.exchange import Request
from deploywatch.exporter.net.http.urls import as_written
from deploywatch.exporter.results import Failed, Reason

STATUSES = frozenset({301, 302, 303, 307, 308})

_HARMLESS = frozenset(
    {"accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "pragma", "user-agent"}
)
"""Headers that say nothing about who asks; whatever else a config sends may be a credential."""


def redirected(request: Request, status: int, location: str) -> Request:
    """The request that a redirect asks for; Failed(redirect) when it leads to no HTTP URL.

    To another origin go the harmless headers alone, and no body. From http to https of the same host, basic
    authentication goes along: that is how a site moves to TLS.
    """
    try:
        url = request.url.join(as_written(location)).with_user(None)
    except ValueError as error:
        raise Failed(Reason.REDIRECT, "redirected to something that is not a URL") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise Failed(Reason.REDIRECT, "redirected to something that is not an HTTP URL")
    headers, (method, body) = request.headers, _method_and_body(request, status)
    if url.origin() != request.url.origin():
        upgraded = _upgraded(request.url, url)
        # Named are those that may leave: a header that nobody has thought of stays at home.
        headers, body = tuple(header for header in headers if _may_leave(header, upgraded)), b""
    return Request(method, url, headers, body)


def withheld(before: Request, after: Request) -> tuple[str, ...]:
    """What a redirect to another origin keeps from it: the names of headers, and the body."""
    kept = {name for name, _ in after.headers}
    names = tuple(name for name, _ in before.headers if name not in kept)
    return (*names, "body") if before.body and not after.body and before.method == after.method else names


def _may_leave(header: tuple[str, str], upgraded: bool) -> bool:
    name, value = header[0].lower(), header[1]
    return name in _HARMLESS or (upgraded and name == "authorization" and value.lower().startswith("basic "))


def _method_and_body(request: Request, status: int) -> tuple[str, bytes]:
    # As browsers and Go do: RFC 9110 (15.4) allows the change of a POST for 301 and 302, and asks for it with 303.
    if status == 303 or (status in {301, 302} and request.method == "POST"):
        return "HEAD" if request.method == "HEAD" else "GET", b""
    return request.method, request.body


def _upgraded(before: URL, after: URL) -> bool:
    return before.scheme == "http" and after.scheme == "https" and before.raw_host == after.raw_host
