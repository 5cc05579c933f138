"""Cookies that answers set, kept within one run and sent back where they belong (RFC 6265)."""

from __future__ import annotations

from email.message import Message
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import Request as Outgoing

from deploywatch.exporter.net.http.exchange import Request
from deploywatch.exporter.net.http.response_parser import Response

_HEADER = "cookie"


class Cookies:
    """The cookies of one run: of a request with its redirects, or of all steps of a flow."""

    def __init__(self) -> None:
        self._jar: CookieJar | None = None

    def take(self, request: Request, response: Response) -> None:
        """Keep what an answer sets."""
        lines = response.headers.get("set-cookie")
        if not lines:
            return
        if self._jar is None:
            self._jar = CookieJar()
        answer: Any = _Answer(lines.split("\n"))
        self._jar.extract_cookies(answer, _outgoing(request))

    def added_to(self, request: Request) -> Request:
        """The request with the cookies that belong to its URL; one of the config's with the same name gives way."""
        if self._jar is None:
            return request
        outgoing = _outgoing(request)
        self._jar.add_cookie_header(outgoing)
        kept = _pairs(outgoing.get_header("Cookie") or "")
        if not kept:
            return request
        named = {_name(pair) for pair in kept}
        own = [pair for name, value in request.headers if name.lower() == _HEADER for pair in _pairs(value)]
        sent = "; ".join([*(pair for pair in own if _name(pair) not in named), *kept])
        others = tuple(header for header in request.headers if header[0].lower() != _HEADER)
        return Request(request.method, request.url, (*others, ("Cookie", sent)), request.body)


class _Answer:
    """An answer as the jar wants to see it."""

    def __init__(self, lines: list[str]) -> None:
        self._message = Message()
        for line in lines:
            self._message["Set-Cookie"] = line

    def info(self) -> Message:
        """Its headers."""
        return self._message


def _outgoing(request: Request) -> Outgoing:
    return Outgoing(str(request.url))  # noqa: S310 - nothing is opened: the jar reads the place from it


def _pairs(header: str) -> list[str]:
    return [pair.strip() for pair in header.split(";") if pair.strip()]


def _name(pair: str) -> str:
    return pair.partition("=")[0].strip()
