"""The `http` probe: one request, redirects included, and whether the answer is what it must be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator

from deploywatch.exporter.measure import families
from deploywatch.exporter.net.http.client import Trail, follow, http_url
from deploywatch.exporter.net.http.judging import body
from deploywatch.exporter.net.http.judging.expectations import Expect, Gauges
from deploywatch.exporter.net.http.judging.verdict import judge
from deploywatch.exporter.net.http.oauth2 import AskWithToken
from deploywatch.exporter.net.http.phases import PHASES, Phases
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.resolve import note_address
from deploywatch.exporter.net.tls import certificates
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Family, Reason
from deploywatch.secrets import SecretUrl

OVERDUE = {"resolve": Reason.DNS, "connect": Reason.CONNECT_TIMEOUT, "proxy": Reason.PROXY, "token": Reason.AUTH}
"""What a deadline means in a phase; in the others it is just that."""


class HttpSettings(ProbeSettings, AskWithToken):
    """An HTTP or HTTPS request and what must come back."""

    target_key: ClassVar[TargetKey | None] = TargetKey("url", "http://target.invalid/")

    kind: Literal["http"]
    url: SecretUrl
    expect: Expect = Expect()
    gauges: Gauges = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _http_url(cls, url: SecretUrl) -> SecretUrl:
        http_url(url.get_secret_value())
        return url

    def server(self) -> str | None:
        """The host and its port, or the socket that is asked in its place."""
        return f"unix:{self.unix_socket}" if self.unix_socket else super().server()

    def probe(self) -> HttpProbe:
        """The probe that does what these settings say."""
        return HttpProbe(self)

    def with_target(self, target: str) -> Self:
        """The same request to another URL; without a scheme it is http."""
        return self.with_changes(url=target if "://" in target else f"http://{target}")

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur: those of expectations that are not set, and of redirects that are not followed."""
        never = self.expect.impossible(gauges=bool(self.gauges)) - self.possible()
        never |= self.without_proxy() | self.without_token()
        if self.redirects:
            return never
        plain = not self.url.get_secret_value().lower().startswith("https:")
        tls = {Reason.TLS_VERIFY} if self.expect.tls is not None else {Reason.TLS, Reason.TLS_VERIFY}
        return never | {Reason.REDIRECT} | (tls if plain else frozenset())

    def families(self) -> Iterable[Family]:
        """The gauges that are picked from the body."""
        return [gauge.family(name) for name, gauge in self.gauges.items()]


class HttpProbe:
    """Requests a URL and judges the answer."""

    def __init__(self, settings: HttpSettings) -> None:
        self.settings = settings
        self.request = settings.request(settings.url.get_secret_value(), settings.plain_headers(), settings.body)
        self.via = settings.via()
        self.tokens = settings.tokens()

    async def measure(self, measurement: Measurement) -> None:
        """Request, follow redirects, and judge; what was measured is noted also when that ends early."""
        trail = Trail(Phases())
        begin = measurement.clock.monotonic()
        try:
            request = self.request
            if self.tokens:
                request = await self.tokens.added_to(request, trail.phases, measurement.clock)
            response = await follow(self.settings, request, self.via, trail, measurement.allowed)
        finally:
            measurement.stage = trail.phases.at
            measurement.overdue = OVERDUE.get(trail.phases.at, Reason.DEADLINE)
            _note(trail, measurement)
        # The token was revoked before its end; the next run fetches another, this one says what it saw.
        if self.tokens and response.status == 401:
            self.tokens.forget()
        took = measurement.clock.monotonic() - begin
        await judge(response, took, self.settings.expect, self.settings.gauges, measurement)


def _note(trail: Trail, measurement: Measurement) -> None:
    trail.tell_withheld(measurement)
    phases, response = trail.phases, trail.response
    for name in PHASES[0 if phases.resolves else 1 :]:
        measurement.add(families.HTTP_DURATION, getattr(phases, name), phase=name)
    if phases.first_lookup is not None:
        measurement.add(families.DNS_LOOKUP, phases.first_lookup)
    if phases.address:
        note_address(phases.address, measurement)
    measurement.add(families.HTTP_STATUS_CODE, response.status if response else 0)
    measurement.add(families.HTTP_REDIRECTS, trail.redirects)
    measurement.add(families.HTTP_SSL, trail.secure)
    if phases.shown:
        certificates.note(phases.shown, measurement)
    if response is None or response is phases.broken:
        # Nobody judges it.
        measurement.add(families.FAILED_DUE_TO_REGEX, 0)
    if response is None:
        return
    measurement.add(families.HTTP_VERSION, float(response.version))
    measurement.add(families.HTTP_CONTENT_LENGTH, response.content_length)
    measurement.add(families.HTTP_BODY_LENGTH, response.bytes_read)
    _note_headers(response, measurement)


def _note_headers(response: Response, measurement: Measurement) -> None:
    served = body.served_time(response.headers.get("x-response-time", ""))
    if served is not None:
        measurement.add(families.SERVED_RESPONSE_TIME, served)
    if "last-modified" in response.headers:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            modified = parsedate_to_datetime(response.headers["last-modified"])
            measurement.add(families.HTTP_LAST_MODIFIED, modified.timestamp())
