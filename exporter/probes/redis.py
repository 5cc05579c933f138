"""The `redis` probe: PING, SET a key that expires and GET it back, then gauges from keys and from INFO."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, Field, model_validator
from redis import exceptions

from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import GaugeName
from deploywatch.exporter.net.connect import Reach
from deploywatch.exporter.net.databases.conversation import Conversation
from deploywatch.exporter.net.databases.keys import KeyGauge, Statistics, note_info, note_keys
from deploywatch.exporter.net.databases.redis_connection import SILENT, unconnected
from deploywatch.exporter.net.databases.redis_errors import explain, explained
from deploywatch.exporter.net.databases.redis_url import redis_url
from deploywatch.exporter.net.dial import connect
from deploywatch.exporter.net.resolve import note_address
from deploywatch.exporter.net.tls import certificates
from deploywatch.exporter.net.tls.client import TlsClient
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Failures, Family, Reason
from deploywatch.secrets import Secret, SecretUrl

EXPIRY_SECONDS = 10  # source 000: SET with 10 s expiry
# Seconds in which a server that turns us away says why, before it is asked anything.
# "max number of clients reached" comes unasked, right after the connection.
_LISTENING = 0.5


class RedisSettings(ProbeSettings, Reach):
    """A Redis or Valkey server; the probe writes one key, `key_prefix` and a random end, and lets it expire."""

    target_key: ClassVar[TargetKey | None] = TargetKey("url", "redis://target.invalid/")

    kind: Literal["redis"]
    url: Annotated[SecretUrl, AfterValidator(redis_url)]
    username: str | None = None
    password: Secret | None = None
    key_prefix: str = "deploywatch:probe:"
    round_trip: bool = True
    tls: TlsClient | None = None
    collect: tuple[Statistics, ...] = ()
    gauges: dict[GaugeName, KeyGauge] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_the_url(self) -> Self:
        if self.tls and not self.url.get_secret_value().startswith("rediss://"):
            raise ValueError("tls is given for a URL without TLS; write rediss:// in the URL, or remove tls")
        if self.preferred_ip_protocol and self.url.get_secret_value().startswith("unix://"):
            raise ValueError("preferred_ip_protocol is given for a unix socket, which has no address; remove it")
        return self

    def with_target(self, target: str) -> Self:
        """The same questions to another server, `host:port` or a URL, as the same user."""
        own = urlsplit(self.url.get_secret_value())
        scheme = own.scheme if own.scheme != "unix" else "redis"
        given = urlsplit(target if "://" in target else f"{scheme}://{target}")
        if given.scheme not in {"redis", "rediss"} or "@" in given.netloc or given.query or not given.netloc:
            raise ValueError("not a Redis target; write host:port or redis://host:port/0")
        credentials, at, _ = own.netloc.rpartition("@")
        path = given.path if given.path.strip("/") or own.scheme == "unix" else own.path
        query = own.query if own.scheme != "unix" else ""
        return self.with_changes(url=urlunsplit((given.scheme, credentials + at + given.netloc, path, query, "")))

    def server(self) -> str | None:
        """The host and its port, or the socket."""
        parts = urlsplit(self.url.get_secret_value())
        return f"unix:{parts.path}" if parts.scheme == "unix" else super().server()

    def probe(self) -> RedisProbe:
        """The probe that does what these settings say."""
        return RedisProbe(self)

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur: only keys can be too many, and only rediss:// is over TLS."""
        never = frozenset[Reason]() if self.gauges else frozenset({Reason.TOO_LARGE})
        secured = self.url.get_secret_value().startswith("rediss://")
        return never if secured else never | {Reason.TLS, Reason.TLS_VERIFY}

    def families(self) -> Iterable[Family]:
        """The gauges that keys give."""
        return [gauge.family(name) for name, gauge in self.gauges.items()]


class RedisProbe:
    """Connects to a server, sends the commands, and disconnects."""

    def __init__(self, settings: RedisSettings) -> None:
        self.settings = settings
        self.credentials: dict[str, str] = {}
        if settings.username:
            self.credentials["username"] = settings.username
        if settings.password:
            self.credentials["password"] = settings.password.get_secret_value()

    async def measure(self, measurement: Measurement) -> None:
        """Connect, PING, SET and GET, then what else is asked for."""
        connection = self._connection(measurement)
        talk = Conversation(connection, partial(self._another, measurement))
        answered = False
        try:
            try:
                with measurement.timed("connect", overdue=Reason.CONNECT_TIMEOUT) as passed:
                    await connection.connect()
            finally:
                # Also of a server that is not trusted, or that refuses the login.
                _note_connection(connection, measurement)
            measurement.add(families.REDIS_CONNECT, passed())
            # Without a login nothing was said yet, so that a server that is silent is seen here first.
            spoken = connection.db or connection.username or connection.password
            with measurement.timed("PING" if spoken else SILENT) as passed:
                answer = await talk.ask("PING")
            answered = True
            measurement.add(families.REDIS_PING, passed())
            if answer != b"PONG":
                raise Failed(Reason.VALUE, "PING was not answered with PONG")
            await self._ask(talk, measurement)
        except exceptions.RedisError as error:
            # It has said something, or broken off.
            failed = explain(error, "connect" if measurement.stage == SILENT else measurement.stage)
            if failed.reason is Reason.RESET and not answered:
                # A server that turns us away says why and hangs up, which may be lost when we spoke meanwhile.
                failed = await self._first_line(measurement) or failed
            raise failed from error
        finally:
            await talk.close()

    def _connection(self, measurement: Measurement, **place: Any) -> Any:
        connection = unconnected(self.settings.url, **self.credentials, **place)
        connection.route = self.settings.route(measurement)
        connection.tls, connection.measurement = self.settings.tls, measurement
        return connection

    async def _another(self, measurement: Measurement, host: str, port: int) -> Any:
        """A connection to another node of the cluster."""
        connection = self._connection(measurement, host=host, port=port)
        stage = measurement.stage
        measurement.stage = f"{stage}, at the node {host}:{port}"
        await connection.connect()
        measurement.stage = stage
        return connection

    async def _first_line(self, measurement: Measurement) -> Failed | None:
        """The line that a server sends before it is asked anything; None when it sends none."""
        parts = urlsplit(self.settings.url.get_secret_value())
        if parts.scheme != "redis":
            return None
        try:
            route = self.settings.route(measurement)
            addresses = await route.addresses(parts.hostname or "localhost", parts.port or 6379)
            sock, _ = await connect(addresses, source=route.source)
            with sock:
                async with asyncio.timeout(_LISTENING):
                    line = await asyncio.get_running_loop().sock_recv(sock, 1024)
        except (OSError, Failed):
            return None
        text = line.decode("utf-8", "replace").split("\r\n")[0]
        return explain(exceptions.ResponseError(text.removeprefix("-")), "connect") if text.startswith("-") else None

    async def _ask(self, talk: Conversation, measurement: Measurement) -> None:
        failures = Failures()
        if self.settings.round_trip:
            # A replica is read-only, and INFO is worth reading all the same: each question has its turn.
            with failures.trying("SET and GET"), explained("SET and GET"):
                await self._round_trip(talk, measurement)
        for section in self.settings.collect:
            with (
                failures.trying(f"INFO {section}"),
                explained(f"INFO {section}"),
                measurement.timed(f"INFO {section}"),
            ):
                await note_info(talk, (section,), measurement)
        for name, gauge in self.settings.gauges.items():
            stage = f"gauge {name}"
            with failures.trying(stage), explained(stage), measurement.timed(stage):
                await note_keys(talk, name, gauge, measurement)
        failures.settle()

    async def _round_trip(self, talk: Conversation, measurement: Measurement) -> None:
        # Random in every run: two exporters on one server never read each other's value.
        key, value = self._key(), secrets.token_bytes(16)
        try:
            await self._set_and_get(talk, key, value, measurement)
        except (exceptions.MovedError, exceptions.AskError):
            # In a cluster it is this node that is probed, so by a key of its own.
            measurement.stage = "find a key of this node of the cluster"
            await self._set_and_get(talk, await talk.own_key(self._key), value, measurement)

    def _key(self) -> str:
        return self.settings.key_prefix + secrets.token_hex(8)

    async def _set_and_get(self, talk: Conversation, key: str, value: bytes, measurement: Measurement) -> None:
        with measurement.timed("SET and GET") as passed:
            await talk.ask_here("SET", key, value, "EX", EXPIRY_SECONDS)
            answer = await talk.ask_here("GET", key)
        measurement.add(families.REDIS_ROUND_TRIP, passed())
        if answer != value:
            raise Failed(Reason.VALUE, "GET did not give what SET had stored")


def _note_connection(connection: Any, measurement: Measurement) -> None:
    """A unix socket has neither an address nor TLS."""
    if getattr(connection, "address", None):
        note_address(connection.address, measurement)
    if getattr(connection, "shown", None):
        certificates.note(connection.shown, measurement)
