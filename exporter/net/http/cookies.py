"""Cookies that answers set, kept within one run and sent back where they belong (RFC 6265)."""

from __future__ import annotations

import re
import warnings
from http.cookiejar import CookieJar, http2time  # type: ignore[attr-defined]  # typeshed has it not
from typing import Any
from urllib.request import Request as Outgoing

from deploywatch.exporter.net.http.exchange import Request
from deploywatch.exporter.net.http.reading.response import Response

_HEADER = "cookie"
_EXPIRES = re.compile(r";\s*expires\s*=\s*\"?(?P<date>[^;\"]*)\"?", re.IGNORECASE)


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
        with warnings.catch_warnings():
            # Of a line that the jar cannot read it warns, where a browser takes no notice.
            warnings.simplefilter("ignore")
            for line in lines.split("\n"):
                answer: Any = _Answer([_EXPIRES.sub(_when_it_is_a_date, _as_bytes(line))])
                self._jar.extract_cookies(answer, _outgoing(request))

    def added_to(self, request: Request) -> Request:
        """The request with the cookies that belong to its URL; one of the config's with the same name gives way."""
        if self._jar is None:
            return request
        outgoing = _outgoing(request)
        self._jar.add_cookie_header(outgoing)
        kept = _pairs(_as_text(outgoing.get_header("Cookie") or ""))
        if not kept:
            return request
        # The server's newer value counts, as in a browser.
        named = {_name(pair) for pair in kept}
        own = [pair for name, value in request.headers if name.lower() == _HEADER for pair in _pairs(value)]
        sent = "; ".join([*(pair for pair in own if _name(pair) not in named), *kept])
        others = tuple(header for header in request.headers if header[0].lower() != _HEADER)
        return Request(request.method, request.url, (*others, ("Cookie", sent)), request.body)


class _Answer:
    """An answer's cookies as the jar asks for them."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def info(self) -> _Answer:
        """Its headers."""
        return self

    def get_all(self, name: str, default: list[str]) -> list[str]:
        """The values of a header; there are none but cookies."""
        return self._lines if name == "Set-Cookie" else default


def _when_it_is_a_date(expires: re.Match[str]) -> str:
    """The attribute, or nothing when its date cannot be read: it is ignored then, and not the cookie (RFC 6265)."""
    try:
        return expires[0] if http2time(expires["date"]) is not None else ""
    except (ValueError, OverflowError):
        return ""


def _as_bytes(text: str) -> str:
    """A header with a letter for each of its bytes: the jar takes no surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _as_text(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


def _outgoing(request: Request) -> Outgoing:
    return Outgoing(str(request.url))  # noqa: S310 - nothing is opened: the jar reads the place from it


def _pairs(header: str) -> list[str]:
    return [pair.strip() for pair in header.split(";") if pair.strip()]


def _name(pair: str) -> str:
    return pair.partition("=")[0].strip()
