"""The `redis` probe: PING, SET a key that expires and GET it back, then gauges from keys and from INFO."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, Field, model_validator
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import GaugeName
from deploywatch.exporter.net import certificates
from deploywatch.exporter.net.databases.keys import Conversation, KeyGauge, Statistics, note_info, note_keys
from deploywatch.exporter.net.dial import Route, connect
from deploywatch.exporter.net.resolve import Address, note_address
from deploywatch.exporter.net.tls import TlsClient, context_for
from deploywatch.exporter.probing import Measurement, ProbeSettings, TargetKey, from_os_error
from deploywatch.exporter.results import Failed, Family, Reason
from deploywatch.secrets import Secret, SecretUrl

EXPIRY_SECONDS = 10  # source 000: SET with 10 s expiry
_HINT = "not a Redis URL; write redis://host:6379/0, rediss://… for TLS, or unix:///path"


def _redis_url(url: SecretUrl) -> SecretUrl:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(_HINT)
    try:
        _connection(url)
    except (TypeError, ValueError) as error:
        # Its message could show a part of the password, taken for a port.
        raise ValueError(_HINT) from error
    return url


class _Routed(AbstractConnection):
    """A connection that goes only where its route says; `route` and `tls` are set before it is made."""

    route = Route()
    tls: TlsClient | None = None
    address: Address | None = None
    shown: certificates.Shown | None = None
    _connection_arguments: Callable[[], Mapping[str, Any]]

    async def _connect(self) -> None:
        arguments = dict(self._connection_arguments())
        host, port = arguments.pop("host"), int(arguments.pop("port"))
        sock, self.address = await connect(await self.route.addresses(host, port))
        if "ssl" in arguments:
            arguments["server_hostname"] = host
            if self.tls:
                arguments |= {"ssl": context_for(self.tls), "server_hostname": self.tls.server_name or host}
        try:
            self._reader, self._writer = await asyncio.open_connection(sock=sock, **arguments)
        except BaseException:
            sock.close()
            raise
        secured = self._writer.get_extra_info("ssl_object")
        self.shown = certificates.shown(secured) if secured else None


class _Plain(_Routed, Connection):
    """Over TCP."""


class _Encrypted(_Routed, SSLConnection):
    """Over TLS."""


_CLASSES: dict[type, type] = {Connection: _Plain, SSLConnection: _Encrypted}


def _connection(url: SecretUrl, **more: Any) -> Any:
    """A connection that is yet to be made; the deadline of the run is its only timeout.

    With one of its own, the library would wait in a way that loses a cancellation now and then in Python 3.11.
    """
    arguments: dict[str, Any] = {**parse_url(url.get_secret_value()), **more}
    arguments |= {"socket_timeout": None, "socket_connect_timeout": None}
    make = arguments.pop("connection_class", Connection)
    return _CLASSES.get(make, make)(**arguments, protocol=2, retry=Retry(NoBackoff(), 0))


class RedisSettings(ProbeSettings):
    """A Redis or Valkey server; the probe writes one key, `key_prefix` and a random end, and lets it expire."""

    target_key: ClassVar[TargetKey | None] = TargetKey("url", "redis://target.invalid/")

    kind: Literal["redis"]
    url: Annotated[SecretUrl, AfterValidator(_redis_url)]
    username: str | None = None
    password: Secret | None = None
    key_prefix: str = "deploywatch:probe:"
    round_trip: bool = True
    tls: TlsClient | None = None
    collect: tuple[Statistics, ...] = ()
    gauges: dict[GaugeName, KeyGauge] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _tls_is_asked_for(self) -> Self:
        if self.tls and not self.url.get_secret_value().startswith("rediss://"):
            raise ValueError("tls is given for a URL without TLS; write rediss:// in the URL, or remove tls")
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

    def probe(self) -> RedisProbe:
        """The probe that does what these settings say."""
        return RedisProbe(self)

    def families(self) -> Iterable[Family]:
        """The gauges that keys give."""
        return [gauge.family(name) for name, gauge in self.gauges.items()]


class RedisProbe:
    """Connects to a server, asks, and leaves."""

    def __init__(self, settings: RedisSettings) -> None:
        self.settings = settings
        self.credentials: dict[str, str] = {}
        if settings.username:
            self.credentials["username"] = settings.username
        if settings.password:
            self.credentials["password"] = settings.password.get_secret_value()

    async def measure(self, measurement: Measurement) -> None:
        """Connect, PING, SET and GET, then what else is asked for."""
        connection = _connection(self.settings.url, **self.credentials)
        connection.route, connection.tls = Route(allowed=measurement.allowed), self.settings.tls
        try:
            with measurement.timed("connect", overdue=Reason.CONNECT_TIMEOUT) as passed:
                await connection.connect()
            measurement.add(families.REDIS_CONNECT, passed())
            _note_connection(connection, measurement)
            await self._ask(Conversation(connection), measurement)
        except exceptions.RedisError as error:
            raise _explain(error, measurement.stage) from error
        finally:
            # The goodbye of TLS would wait for a server that may never answer it.
            if connection._writer:
                connection._writer.transport.abort()
            await connection.disconnect(nowait=True)

    async def _ask(self, talk: Conversation, measurement: Measurement) -> None:
        with measurement.timed("PING") as passed:
            answer = await talk.ask("PING")
        measurement.add(families.REDIS_PING, passed())
        if answer != b"PONG":
            raise Failed(Reason.VALUE, "PING was not answered with PONG")
        if self.settings.round_trip:
            await self._round_trip(talk, measurement)
        with measurement.timed("INFO"):
            await note_info(talk, self.settings.collect, measurement)
        for name, gauge in self.settings.gauges.items():
            with measurement.timed(f"gauge {name}"):
                await note_keys(talk, name, gauge, measurement)

    async def _round_trip(self, talk: Conversation, measurement: Measurement) -> None:
        # Random in every run: two exporters on one server never read each other's value.
        key, value = self.settings.key_prefix + secrets.token_hex(8), secrets.token_bytes(16)
        with measurement.timed("SET and GET") as passed:
            await talk.ask("SET", key, value, "EX", EXPIRY_SECONDS)
            answer = await talk.ask("GET", key)
        measurement.add(families.REDIS_ROUND_TRIP, passed())
        if answer != value:
            raise Failed(Reason.VALUE, "GET did not give what SET had stored")


def _note_connection(connection: Any, measurement: Measurement) -> None:
    """A unix socket has neither an address nor TLS."""
    if getattr(connection, "address", None):
        note_address(connection.address, measurement)
    if getattr(connection, "shown", None):
        certificates.note(connection.shown, measurement)


def _explain(error: exceptions.RedisError, stage: str) -> Failed:
    match error:
        case exceptions.AuthenticationError() | exceptions.AuthorizationError():
            return Failed(Reason.AUTH, f"access was denied: {error}")
        case exceptions.AuthenticationWrongNumberOfArgsError() | exceptions.NoPermissionError():
            return Failed(Reason.AUTH, f"{stage}: {error}")
        case exceptions.BusyLoadingError():
            return Failed(Reason.UNAVAILABLE, "the server is loading its data")
        case exceptions.ReadOnlyError() | exceptions.OutOfMemoryError() | exceptions.ClusterDownError():
            return Failed(Reason.UNAVAILABLE, f"{stage}: {error}")
        case exceptions.ConnectionError():
            cause = error.__cause__ or error.__context__
            if isinstance(cause, Failed):
                return cause
            if isinstance(cause, OSError):
                return from_os_error(cause)
            if isinstance(cause, exceptions.RedisError):
                return _explain(cause, stage)
            return Failed(Reason.RESET, f"{stage}: {error}")
        case exceptions.ResponseError():
            denied = str(error).startswith(("NOAUTH", "WRONGPASS", "NOPERM"))
            return Failed(Reason.AUTH if denied else Reason.QUERY, f"{stage}: {error}")
        case _:
            return Failed(Reason.PROTOCOL, f"{stage}: {error}")
