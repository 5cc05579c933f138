"""The `redis` probe: PING, SET a key that expires and GET it back, then gauges from keys and from INFO."""

from __future__ import annotations

import asyncio
import inspect
import re
import secrets
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, model_validator
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploywatch.config import nearest
from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import GaugeName
from deploywatch.exporter.net.connect import Reach
from deploywatch.exporter.net.databases.conversation import Conversation
from deploywatch.exporter.net.databases.keys import KeyGauge, Statistics, note_info, note_keys
from deploywatch.exporter.net.databases.redis_errors import explain
from deploywatch.exporter.net.dial import Route, connect
from deploywatch.exporter.net.resolve import Address, note_address
from deploywatch.exporter.net.tls import certificates
from deploywatch.exporter.net.tls.client import TlsClient, context_for, last_good
from deploywatch.exporter.net.tls.handshake import BROKEN_OFF, seen_in, telling
from deploywatch.exporter.probing import Measurement, ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Failures, Family, Reason
from deploywatch.secrets import Secret, SecretUrl

EXPIRY_SECONDS = 10  # source 000: SET with 10 s expiry
# Seconds in which a server that turns us away says why, before it is asked anything.
_LISTENING = 0.5
_REFUSED = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.BusyLoadingError,
    exceptions.NoPermissionError,
)
"""Errors of the library's ConnectionError after which the connection goes on."""
_HINT = "not a Redis URL; write redis://host:6379/0, rediss://… for TLS, or unix:///path"


_DATABASE = re.compile(r"/?\d*/?", re.ASCII)
_PARAMETERS = frozenset({"db", "username", "password", "client_name"})
_NEEDLESS = frozenset(
    {"socket_timeout", "socket_connect_timeout", "timeout", "retry_on_timeout", "max_connections"}
    | {"health_check_interval", "socket_keepalive"}
)


def _redis_url(url: SecretUrl) -> SecretUrl:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(_HINT)
    _nothing_unread(url.get_secret_value())
    try:
        connection = _connection(url)
        if isinstance(connection, _Encrypted):
            connection.ssl_context.get()
    except (OSError, exceptions.RedisError) as error:
        raise ValueError(f"the files or ciphers that the URL names cannot be used: {error}") from error
    except (TypeError, ValueError) as error:
        # Its message could show a part of the password, taken for a port.
        raise ValueError(_HINT) from error
    return url


def _nothing_unread(url: str) -> None:
    """ValueError names what the library would read otherwise than it is written, or not at all."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(_HINT) from error
    if parts.fragment:
        raise ValueError("has a #, after which nothing is read; write it as %23")
    if parts.scheme != "unix" and not _DATABASE.fullmatch(parts.path):
        raise ValueError("the database must be a number, as in redis://host:6379/0; write none for 0")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _NEEDLESS:
            raise ValueError(f"{name}: the probe's timeout bounds a run, which has one connection; remove it")
        if name not in _PARAMETERS and not name.startswith("ssl_"):
            raise ValueError(f"{name}: no parameter of a Redis URL that is read here{nearest(name, _PARAMETERS)}")
        if name == "db" and not (value.isascii() and value.isdigit()):
            raise ValueError("db must be a number")


SILENT = "connect: the server took the connection and says nothing"
"""The stage of a server that accepts connections and does not answer, as one that is frozen."""


class _Routed(AbstractConnection):
    """A connection that goes only where its route says; `route` and `tls` are set before it is made."""

    route = Route()
    tls: TlsClient | None = None
    address: Address | None = None
    shown: certificates.Shown | None = None
    measurement: Measurement | None = None
    _connection_arguments: Callable[[], Mapping[str, Any]]

    async def _connect(self) -> None:
        arguments = dict(self._connection_arguments())
        host, port = arguments.pop("host"), int(arguments.pop("port"))
        sock, self.address = await connect(await self.route.addresses(host, port), source=self.route.source)
        if self.measurement:
            # As `port` tells them apart: from here on somebody listens, and perhaps says nothing.
            self.measurement.stage, self.measurement.overdue = SILENT, Reason.DEADLINE
        name = (self.tls.server_name if self.tls else None) or host
        if "ssl" in arguments:
            arguments["server_hostname"] = certificates.certificate_name(name)
        try:
            self._reader, self._writer = await asyncio.open_connection(sock=sock, **arguments)
        except BaseException as error:
            sock.close()
            if "ssl" in arguments and isinstance(error, BROKEN_OFF):
                self.shown, most = await seen_in(error, self.address, name)
                raise most from error
            raise
        secured = self._writer.get_extra_info("ssl_object")
        self.shown = certificates.shown(secured) if secured else None


class _Plain(_Routed, Connection):
    """A connection over TCP."""


class _Encrypted(_Routed, SSLConnection):
    """A connection over TLS, with the context of `tls` or of the URL's parameters."""

    ssl_context: Any

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = super(SSLConnection, self)._connection_arguments()
        return {**arguments, "ssl": context_for(self.tls) if self.tls else self._of_the_url()}

    def _of_the_url(self) -> ssl.SSLContext:
        asked = self.ssl_context
        names = (asked.ca_certs, asked.certfile, asked.keyfile)
        key = tuple(str(getattr(asked, name)) for name in asked.__slots__ if name != "context")
        return telling(last_good(("redis", key), [Path(name) for name in names if name], asked.get))


# To tell its name and version, the library would look them up on the disk for each connection.
_UNNAMED: dict[str, None] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters
    else {"lib_name": None, "lib_version": None}
)
_CLASSES: dict[type, type] = {Connection: _Plain, SSLConnection: _Encrypted}


def _connection(url: SecretUrl, **more: Any) -> Any:
    """A connection that is yet to be made; the deadline of the run is its only timeout.

    With one of its own, the library would wait in a way that loses a cancellation now and then in Python 3.11.
    """
    arguments: dict[str, Any] = {**parse_url(url.get_secret_value()), **more}
    arguments |= {"socket_timeout": None, "socket_connect_timeout": None}
    arguments |= _UNNAMED
    make = arguments.pop("connection_class", Connection)
    return _CLASSES.get(make, make)(**arguments, protocol=2, retry=Retry(NoBackoff(), 0))


class RedisSettings(ProbeSettings, Reach):
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
        connection = _connection(self.settings.url, **self.credentials, **place)
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
            with failures.trying("SET and GET"), _explained("SET and GET"):
                await self._round_trip(talk, measurement)
        for section in self.settings.collect:
            with (
                failures.trying(f"INFO {section}"),
                _explained(f"INFO {section}"),
                measurement.timed(f"INFO {section}"),
            ):
                await note_info(talk, (section,), measurement)
        for name, gauge in self.settings.gauges.items():
            stage = f"gauge {name}"
            with failures.trying(stage), _explained(stage), measurement.timed(stage):
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


@contextmanager
def _explained(stage: str) -> Iterator[None]:
    """What the server refuses becomes a Failed, so that the next has its turn; a lost connection ends the run."""
    try:
        yield
    except exceptions.ConnectionError as error:
        if isinstance(error, _REFUSED):
            raise explain(error, stage) from error
        raise
    except exceptions.RedisError as error:
        raise explain(error, stage) from error


def _note_connection(connection: Any, measurement: Measurement) -> None:
    """A unix socket has neither an address nor TLS."""
    if getattr(connection, "address", None):
        note_address(connection.address, measurement)
    if getattr(connection, "shown", None):
        certificates.note(connection.shown, measurement)
