"""A request as a config gives it: what to send, as whom, over which addresses; sent, redirects included."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator
from yarl import URL

from deploywatch import __version__
from deploywatch.config import RelativePath
from deploywatch.exporter.net.dial import Route
from deploywatch.exporter.net.http.cookies import Cookies
from deploywatch.exporter.net.http.exchange import Request, Via, exchange
from deploywatch.exporter.net.http.header_fields import TOKEN, HeaderName, HeaderValue
from deploywatch.exporter.net.http.http2 import ALPN
from deploywatch.exporter.net.http.phases import Phases
from deploywatch.exporter.net.http.reading.encoding import Coding, accepts, decode
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.http.redirects import STATUSES, redirected, withheld
from deploywatch.exporter.net.http.through_proxy import ThroughProxy
from deploywatch.exporter.net.http.urls import as_written
from deploywatch.exporter.net.tls.client import Contexts, TlsClient
from deploywatch.exporter.probing.measurement import Allowed, Measurement
from deploywatch.exporter.results import Dropped, Failed, Reason
from deploywatch.quantity import Quantity, QuantityField, Unit, parse_quantity


def _method(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is not a method; write one such as GET, POST or PROPFIND")
    if value.upper() == "CONNECT":
        raise ValueError("CONNECT asks for a tunnel, not for an answer; write another method")
    return value


Method = Annotated[
    str,
    AfterValidator(_method),
    # The models read what a variable holds; the schema sees the variable.
    WithJsonSchema({"type": "string", "pattern": rf"^(?:{TOKEN.pattern}|.*\$\{{.+\}}.*)$"}),
]


class Ask(ThroughProxy):
    """What to send and how; the URL is beside it.

    With `enable_http2`, HTTP/2 is offered in TLS; with `unix_socket`, the socket is asked, whatever the URL's host is.
    """

    method: Method = "GET"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    body: str = ""
    username: str | None = None
    password: HeaderValue | None = None
    bearer_token: HeaderValue | None = None
    redirects: int = Field(default=10, ge=0, le=50)
    preferred_ip_protocol: Literal["ip4", "ip6"] | None = None
    ip_protocol_fallback: bool = True
    max_body: QuantityField = parse_quantity("1MiB")
    compression: Coding | None = None
    tls: TlsClient = TlsClient()
    enable_http2: bool = False
    unix_socket: RelativePath | None = None

    @field_validator("max_body")
    @classmethod
    def _bytes(cls, size: Quantity) -> Quantity:
        if size.unit is not Unit.BYTES or size.value <= 0:
            raise ValueError(f"{size} is not a size; write it in bytes, such as 1MiB")
        return size

    @model_validator(mode="after")
    def _asks_for_its_encoding(self) -> Self:
        asked = {name: value for name, value in self.headers.items() if name.lower() == "accept-encoding"}
        for name, value in asked.items():
            if self.compression and not accepts(value.get_secret_value(), self.compression):
                raise ValueError(f"compression is {self.compression}, which {name} does not ask for; change one")
        return self

    def possible(self) -> frozenset[Reason]:
        """The reasons for which a request fails whatever is expected of the answer."""
        return frozenset({Reason.BODY}) if self.compression else frozenset()

    def via(self) -> Via:
        """How to connect."""
        preferred = self.preferred_ip_protocol
        return Via(
            route=Route(int(preferred[-1]) if preferred else None, self.ip_protocol_fallback),
            tls=self.tls_of(self.tls),
            server_name=self.tls.server_name,
            proxies=self.proxies(),
            proxy_tls=Contexts(self.tls),
            socket=self.unix_socket,
        )

    def tls_of(self, tls: TlsClient) -> Callable[[], ssl.SSLContext]:
        """What gives the context of a connection."""
        return Contexts(tls, ALPN if self.enable_http2 else ())

    def request(self, url: str, headers: dict[str, str], body: str) -> Request:
        """The first request to a URL, with these headers and those that are sent anyway; ValueError for no URL."""
        place = http_url(url)
        defaults = {"User-Agent": f"deploywatch/{__version__}", "Accept": "*/*"}
        if self.compression:
            defaults["Accept-Encoding"] = self.compression
        authorization = self._authorization(place)
        if authorization:
            defaults["Authorization"] = authorization
        given = {name.lower() for name in headers}
        # What the config says wins over what is sent anyway, whatever its spelling.
        sent = headers | {name: value for name, value in defaults.items() if name.lower() not in given}
        # Credentials of the URL go into a header; in the request line each proxy would log them.
        return Request(self.method, place.with_user(None), tuple(sent.items()), body.encode("utf-8", "surrogateescape"))

    def plain_headers(self) -> dict[str, str]:
        """The headers with what they hide."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}

    def _authorization(self, url: URL) -> str | None:
        if self.bearer_token:
            return f"Bearer {self.bearer_token.get_secret_value()}"
        user = self.username or url.user
        if user is None:
            return None
        password = self.password.get_secret_value() if self.password else url.password or ""
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def http_url(text: str) -> URL:
    """The URL; ValueError when it is not one of http or https."""
    try:
        url = as_written(text)
    except ValueError as error:
        raise ValueError("not a URL; write http://host/path or https://host/path") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("not an HTTP URL; write http://host/path or https://host/path")
    return url


@dataclass(slots=True)
class Trail:
    """How far a request came: the answers' phases, the last answer, and how many redirects led there.

    `cookies` are those of the run, which may be more than this request; `withheld` is what other origins did not get.
    """

    phases: Phases
    response: Response | None = None
    redirects: int = 0
    secure: bool = False
    cookies: Cookies = field(default_factory=Cookies)
    withheld: dict[str, list[str]] = field(default_factory=dict)

    def withhold(self, url: URL, names: Iterable[str]) -> None:
        """Note what is not sent to another origin."""
        there = self.withheld.setdefault(str(url.origin()), [])
        there += [name for name in names if name not in there]

    def tell_withheld(self, measurement: Measurement) -> None:
        """Count what was not sent to other origins, and say where and what."""
        for origin, names in self.withheld.items():
            if names:
                measurement.dropped[Dropped.WITHHELD] += len(names)
                measurement.remarks.append(f"not sent to {origin}: {', '.join(names)}")


async def follow(ask: Ask, request: Request, via: Via, trail: Trail, allowed: Allowed | None) -> Response:
    """Send a request and go where redirects lead; `trail` is kept up to date for when this ends early."""
    origin = request.url.origin()
    if allowed:
        via = replace(via, route=replace(via.route, allowed=allowed))
    limit = int(ask.max_body.value)
    while True:
        trail.secure = request.url.scheme == "https"
        trail.response = None
        try:
            response = await exchange(trail.cookies.added_to(request), via, trail.phases, body_limit=limit)
        except BaseException:
            # An answer that broke off is shown as far as it came: its status says more than "reset".
            trail.response = trail.phases.broken
            raise
        trail.response = response
        trail.cookies.take(request, response)
        location = response.headers.get("location")
        if response.status not in STATUSES or location is None or ask.redirects == 0:
            if ask.compression:
                _decode(response, ask.compression, limit)
            return response
        if trail.redirects == ask.redirects:
            raise Failed(Reason.REDIRECT, f"more than {ask.redirects} redirects")
        trail.redirects += 1
        before, request = request, redirected(request, response.status, location)
        if request.url.origin() != before.url.origin():
            trail.withhold(request.url, withheld(before, request))
        if request.url.origin() != origin:
            # Neither the name nor the client's certificate is for strangers.
            anonymous = ask.tls.model_copy(update={"cert_file": None, "key_file": None})
            if ask.tls.cert_file:
                trail.withhold(request.url, ("client certificate",))
            via = replace(via, server_name=None, tls=ask.tls_of(anonymous))


def _decode(response: Response, coding: Coding, limit: int) -> None:
    try:
        response.body, response.complete = decode(response.body, coding, limit, complete=response.complete)
    except Failed as failed:
        response.body, response.undecoded = b"", failed
    response.bytes_read = len(response.body)
