"""Which service answers on a port: told by its answer to HTTP, PostgreSQL or Redis, or by its own first line."""

from __future__ import annotations

import struct
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from deploywatch.config import Settings
from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.connect import Place
from deploywatch.exporter.net.dial import Route, connect
from deploywatch.exporter.net.http.client import Ask, Trail, follow
from deploywatch.exporter.net.http.header_fields import HeaderName
from deploywatch.exporter.net.http.judging.expectations import Expect, Status
from deploywatch.exporter.net.http.judging.verdict import judge
from deploywatch.exporter.net.http.phases import Phases
from deploywatch.exporter.net.lines import Lines
from deploywatch.exporter.net.pattern import Pattern, search
from deploywatch.exporter.net.tls.client import TlsClient
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Failed, Reason

# PostgreSQL answers it with one byte before any authentication, and logs no failed login.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
# What says no is Redis too: with a password, in protected mode, while it loads, under ACLs.
_REDIS = (b"+PONG", b"-NOAUTH", b"-DENIED", b"-LOADING", b"-NOPERM")


class HttpMark(Settings):
    """What an HTTP server answers by which it is known."""

    path: str = "/"
    status: tuple[Status, ...] = ("1xx", "2xx", "3xx", "4xx", "5xx")
    headers: dict[HeaderName, Pattern] = Field(default_factory=dict)
    body: Pattern | None = None
    https: bool = False
    tls: TlsClient = TlsClient()

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("a path begins with /")
        return path


class Marks(Settings):
    """One way to know a service by."""

    http: HttpMark | None = None
    speaks: Literal["postgres", "redis"] | None = None
    banner: Pattern | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(mark is not None for mark in (self.http, self.speaks, self.banner)) != 1:
            raise ValueError("give it one of http, speaks and banner")
        return self

    async def fit(self, at: Place, measurement: Measurement) -> bool:
        """Whether the service at a place answers so; OSError, or Failed for its name, when nobody does."""
        if self.http:
            return await _is_http(self.http, at, measurement)
        sock, _ = await connect(await Route(allowed=measurement.allowed).addresses(*at))
        channel = Channel(sock)
        try:
            return await self._is(Lines(channel))
        finally:
            channel.close()

    async def _is(self, lines: Lines) -> bool:
        try:
            if self.speaks == "postgres":
                await lines.channel.send(_SSL_REQUEST)
                return await lines.exactly(1) in {b"S", b"N"}
            if self.speaks == "redis":
                await lines.channel.send(b"PING\r\n")
                return (await lines.next() or b"").startswith(_REDIS)
            return self.banner is not None and await search(self.banner, await lines.next() or b"") is not None
        except Failed:
            return False


async def listens(at: Place, measurement: Measurement) -> None:
    """Connect and hang up; OSError when nobody listens there."""
    sock, _ = await connect(await Route(allowed=measurement.allowed).addresses(*at))
    sock.close()


async def _is_http(mark: HttpMark, at: Place, measurement: Measurement) -> bool:
    host = f"[{at.host}]" if ":" in at.host else at.host
    ask = Ask(redirects=0, tls=mark.tls)
    request = ask.request(f"{'https' if mark.https else 'http'}://{host}:{at.port}{mark.path}", {}, "")
    expect = Expect(status=mark.status, headers=mark.headers, body=mark.body)
    try:
        response = await follow(ask, request, ask.via(), Trail(Phases()), measurement.allowed)
        await judge(response, 0.0, expect, {}, Measurement(measurement.clock, measurement.deadline))
    except Failed as failed:
        if failed.reason in {Reason.DNS, Reason.FORBIDDEN}:
            raise
        return False
    return True
