"""The `http` probe: one request, redirects included, and whether the answer is what it must be."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator
from yarl import URL

from deploywatch import __version__
from deploywatch.config import Settings
from deploywatch.quantity import Duration, Quantity, QuantityField, Unit, parse_quantity
from deploywatch.secrets import Secret, SecretUrl
from exporter.measure import families
from exporter.measure.gauges import Gauge, GaugeName
from exporter.net import body, certificates
from exporter.net.dial import Route
from exporter.net.exchange import PHASES, Phases, Request, Via, exchange
from exporter.net.tls import TlsClient, context_for
from exporter.net.wire import Response
from exporter.probing import Findings, ProbeSettings
from exporter.results import Failed, Family, Reason

_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_OVERDUE = {"resolve": Reason.DNS, "connect": Reason.CONNECT_TIMEOUT}


def _status(value: str) -> str:
    if not _STATUS.fullmatch(value):
        raise ValueError(f"{value!r} is neither a status such as 204 nor a class such as 2xx")
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return value


def _one_line(value: Secret) -> Secret:
    if re.search(r"[\r\n\0]", value.get_secret_value()):
        raise ValueError("must be one line")
    return value


def _header_name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is not a header name")
    return value


Status = Annotated[str, BeforeValidator(str), AfterValidator(_status)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[Secret, AfterValidator(_one_line)]


class Expect(Settings):
    """What the answer must be; `format: health` reads the body {status, uptime, version, checks}."""

    status: tuple[Status, ...] = ("2xx",)
    format: Literal["any", "json", "health"] = "any"
    body: Annotated[str, AfterValidator(_regex)] | None = None
    within: Duration | None = None

    @field_validator("status")
    @classmethod
    def _some(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if not patterns:
            raise ValueError("is empty; no answer would be good. Write a status such as 204 or a class such as 2xx")
        return patterns

    def accepts(self, status: int) -> bool:
        """Whether one of the patterns is this status."""
        return any(pattern in {str(status), f"{status // 100}xx"} for pattern in self.status)


class JsonGauge(Gauge):
    """A number in a JSON body that becomes a gauge; `path` is such as `queues.0.length`."""

    path: str = Field(min_length=1)


class HttpSettings(ProbeSettings):
    """An HTTP or HTTPS request and what must come back."""

    kind: Literal["http"]
    url: SecretUrl
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    body: str = ""
    username: str | None = None
    password: HeaderValue | None = None
    bearer_token: HeaderValue | None = None
    redirects: int = Field(default=10, ge=0, le=50)
    preferred_ip_protocol: Literal["ip4", "ip6"] | None = None
    ip_protocol_fallback: bool = True
    max_body: QuantityField = parse_quantity("1MiB")
    tls: TlsClient = TlsClient()
    expect: Expect = Expect()
    gauges: dict[GaugeName, JsonGauge] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _http_url(cls, url: SecretUrl) -> SecretUrl:
        try:
            parsed = URL(url.get_secret_value())
        except ValueError as error:
            raise ValueError("not a URL; write http://host/path or https://host/path") from error
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ValueError("not an HTTP URL; write http://host/path or https://host/path")
        return url

    @field_validator("max_body")
    @classmethod
    def _bytes(cls, size: Quantity) -> Quantity:
        if size.unit is not Unit.BYTES or size.value <= 0:
            raise ValueError(f"{size} is not a size; write it in bytes, such as 1MiB")
        return size

    def probe(self) -> HttpProbe:
        """The probe that does what these settings say."""
        return HttpProbe(self)

    def with_target(self, target: str) -> Self:
        """The same request to another URL; without a scheme it is http."""
        return self.with_changes(url=target if "://" in target else f"http://{target}")

    def families(self) -> Iterable[Family]:
        """The gauges that are picked from the body."""
        return [gauge.family(name) for name, gauge in self.gauges.items()]


@dataclass(slots=True)
class _Trail:
    """How far the request came: the answers' phases, the last answer, and how many redirects led there."""

    phases: Phases
    response: Response | None = None
    redirects: int = 0
    secure: bool = False


class HttpProbe:
    """Requests a URL and judges the answer."""

    def __init__(self, settings: HttpSettings) -> None:
        self.settings = settings
        self.pattern = re.compile(settings.expect.body.encode()) if settings.expect.body else None
        self.gauges = [(gauge.family(name), gauge.path) for name, gauge in settings.gauges.items()]
        self.limit = int(settings.max_body.value)
        self.request = _first_request(settings)
        preferred = settings.preferred_ip_protocol
        self.via = Via(
            route=Route(int(preferred[-1]) if preferred else None, settings.ip_protocol_fallback),
            tls=partial(context_for, settings.tls),
            server_name=settings.tls.server_name,
        )

    async def measure(self, found: Findings) -> None:
        """Request, follow redirects, and judge; what was measured is noted also when that ends early."""
        trail = _Trail(Phases())
        begin = found.clock.monotonic()
        try:
            await self._follow(trail, replace(self.via, route=replace(self.via.route, allowed=found.allowed)))
        finally:
            found.stage = trail.phases.at
            found.overdue = _OVERDUE.get(trail.phases.at, Reason.DEADLINE)
            _note(trail, found)
        took = found.clock.monotonic() - begin
        if trail.response:
            self._judge(trail.response, took, found)

    async def _follow(self, trail: _Trail, via: Via) -> None:
        request = self.request
        while True:
            trail.secure = request.url.scheme == "https"
            trail.response = None
            trail.response = response = await exchange(request, via, trail.phases, body_limit=self.limit)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None or self.settings.redirects == 0:
                return
            if trail.redirects == self.settings.redirects:
                raise Failed(Reason.REDIRECT, f"more than {self.settings.redirects} redirects")
            trail.redirects += 1
            request = _redirected(request, response.status, location)
            if request.url.origin() != self.request.url.origin():
                via = replace(via, server_name=None)

    def _judge(self, response: Response, took: float, found: Findings) -> None:
        expect = self.settings.expect
        problem: Failed | None = None
        if not expect.accepts(response.status):
            problem = Failed(Reason.STATUS, f"status {response.status}, not {' or '.join(expect.status)}")
        try:
            self._judge_body(response, found)
        except Failed as failed:
            # A bad status explains a bad body, and not the other way round; but the health body is read all the same.
            problem = problem or failed
        if expect.within and took > expect.within.total_seconds():
            problem = problem or Failed(
                Reason.LATENCY, f"took {took * 1000:.0f} ms, more than {expect.within.total_seconds() * 1000:.0f} ms"
            )
        if problem:
            raise problem

    def _judge_body(self, response: Response, found: Findings) -> None:
        wanted = self.pattern or self.gauges or self.settings.expect.format != "any"
        if wanted and not response.complete:
            raise Failed(Reason.TOO_LARGE, f"the body is larger than max_body, {self.limit} bytes")
        if self.pattern:
            matches = self.pattern.search(response.body) is not None
            found.add(families.FAILED_DUE_TO_REGEX, not matches)
            if not matches:
                raise Failed(Reason.BODY, f"the body does not match {self.settings.expect.body!r}")
        if not self.gauges and self.settings.expect.format == "any":
            return
        document = body.parse(response.body)
        for family, path in self.gauges:
            found.add(family, body.pick(document, path))
        if self.settings.expect.format == "health":
            body.note_health(document, found)


def _first_request(settings: HttpSettings) -> Request:
    url = URL(settings.url.get_secret_value())
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    given = {name.lower() for name in headers}
    authorization = _authorization(settings, url)
    defaults = {"User-Agent": f"deploywatch/{__version__}", "Accept": "*/*"}
    if authorization:
        defaults["Authorization"] = authorization
    headers |= {name: value for name, value in defaults.items() if name.lower() not in given}
    return Request(settings.method, url.with_user(None), tuple(headers.items()), settings.body.encode())


def _authorization(settings: HttpSettings, url: URL) -> str | None:
    if settings.bearer_token:
        return f"Bearer {settings.bearer_token.get_secret_value()}"
    user = settings.username or url.user
    if user is None:
        return None
    password = settings.password.get_secret_value() if settings.password else url.password or ""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _redirected(request: Request, status: int, location: str) -> Request:
    """The request that a redirect asks for; credentials do not go to another origin."""
    try:
        url = request.url.join(URL(location)).with_user(None)
    except ValueError as error:
        raise Failed(Reason.REDIRECT, "redirected to something that is not a URL") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise Failed(Reason.REDIRECT, "redirected to something that is not an HTTP URL")
    headers, method, sent = request.headers, request.method, request.body
    if url.origin() != request.url.origin():
        headers = tuple(header for header in headers if header[0].lower() not in _CREDENTIALS | {"host"})
    if status == 303 or (status in {301, 302} and method == "POST"):
        method, sent = "HEAD" if method == "HEAD" else "GET", b""
    return Request(method, url, headers, sent)


def _note(trail: _Trail, found: Findings) -> None:
    phases, response = trail.phases, trail.response
    for name in PHASES:
        found.add(families.HTTP_DURATION, getattr(phases, name), phase=name)
    if phases.first_lookup is not None:
        found.add(families.DNS_LOOKUP, phases.first_lookup)
    if phases.address:
        found.add(families.IP_PROTOCOL, phases.address.protocol)
    found.add(families.HTTP_STATUS_CODE, response.status if response else 0)
    found.add(families.HTTP_REDIRECTS, trail.redirects)
    found.add(families.HTTP_SSL, trail.secure)
    if phases.shown:
        certificates.note(phases.shown, found)
    if response is None:
        return
    found.add(families.HTTP_VERSION, float(response.version))
    found.add(families.HTTP_CONTENT_LENGTH, response.content_length)
    found.add(families.HTTP_BODY_LENGTH, response.bytes_read)
    _note_headers(response, found)


def _note_headers(response: Response, found: Findings) -> None:
    served = body.served_time(response.headers.get("x-response-time", ""))
    if served is not None:
        found.add(families.SERVED_RESPONSE_TIME, served)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        modified = (
            parsedate_to_datetime(response.headers["last-modified"]) if "last-modified" in response.headers else None
        )
        if modified:
            found.add(families.HTTP_LAST_MODIFIED, modified.timestamp())
