"""Where people are sent after they have signed in: back to a page of ours, whatever a link says."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from aiohttp import web

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
_LIMIT = 2000
# Browsers take a backslash for a slash, and leave out line ends and tabs.
_PLAIN = re.compile(r"/(?![/\\])[^\s\\\x00-\x20\x7f-\uffff]*")


def local_path(text: str) -> str:
    """The path with its query, if it leads to a page of this server; else `/`."""
    if len(text) > _LIMIT or not _PLAIN.fullmatch(text):
        return "/"
    path = urlsplit(text).path
    # A link to the sign-out as the page to come back to would end the session that was just begun.
    return "/" if path in (SIGN_IN, SIGN_OUT) or "/../" in f"{path}/" or "//" in path else text


def sign_in_path(next_path: str, *, again: bool = False) -> str:
    """The path of the sign-in that leads back to a page."""
    more = "&again=1" if again else ""
    return f"{SIGN_IN}?next={quote(next_path, safe='/')}{more}"


def page_of(request: web.Request, prefix: str) -> str:
    """The page to come back to: this one, or the one whose form was sent."""
    if request.method in ("GET", "HEAD"):
        return local_path(request.path_qs)
    # Only for a form that was sent: it is asked for again as a page, since its body is gone.
    referer = urlsplit(request.headers.get("Referer", ""))
    if not referer.netloc or referer.netloc.lower() != request.headers.get("Host", "").lower():
        return "/"
    path = referer.path.removeprefix(prefix) if referer.path.startswith(f"{prefix}/") else "/"
    return local_path(f"{path}?{referer.query}" if referer.query else path)
