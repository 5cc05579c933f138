"""The `redis` probe: PING with its round-trip time, then SET a key that expires and GET it back."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from redis import exceptions
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploywatch.secrets import Secret, SecretUrl
from exporter import families
from exporter.probing import Findings, ProbeSettings, from_os_error
from exporter.results import Failed, Reason

EXPIRY_SECONDS = 10  # source 000: SET with 10 s expiry


def _redis_url(url: SecretUrl) -> SecretUrl:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("not a Redis URL; write redis://host:6379/0, rediss://… for TLS, or unix:///path")
    return url


class RedisSettings(ProbeSettings):
    """A Redis or Valkey server; the probe writes one key, `key_prefix` and a random end, and lets it expire."""

    kind: Literal["redis"]
    url: Annotated[SecretUrl, AfterValidator(_redis_url)]
    username: str | None = None
    password: Secret | None = None
    key_prefix: str = "deploywatch:probe:"

    def probe(self) -> RedisProbe:
        """The probe that does what these settings say."""
        return RedisProbe(self)


class RedisProbe:
    """Connects to a server, asks, and leaves."""

    def __init__(self, settings: RedisSettings) -> None:
        self.prefix = settings.key_prefix
        self.arguments: dict[str, Any] = dict(parse_url(settings.url.get_secret_value()))
        self.connection: type[Any] = self.arguments.pop("connection_class", Connection)
        if settings.username:
            self.arguments["username"] = settings.username
        if settings.password:
            self.arguments["password"] = settings.password.get_secret_value()

    async def measure(self, found: Findings) -> None:
        """Connect, PING, SET and GET."""
        connection = self.connection(**self.arguments, protocol=2, retry=Retry(NoBackoff(), 0))
        try:
            with found.timed("connect", connecting=True) as passed:
                await connection.connect()
            found.add(families.REDIS_CONNECT, passed())
            with found.timed("PING") as passed:
                answer = await _command(connection, "PING")
            found.add(families.REDIS_PING, passed())
            if answer != b"PONG":
                raise Failed(Reason.VALUE, "PING was not answered with PONG")
            await self._round_trip(connection, found)
        except exceptions.RedisError as error:
            raise _explain(error, found.stage) from error
        finally:
            await connection.disconnect(nowait=True)

    async def _round_trip(self, connection: Any, found: Findings) -> None:
        # Random in every run: two exporters on one server never read each other's value.
        key, value = self.prefix + secrets.token_hex(8), secrets.token_bytes(16)
        with found.timed("SET and GET") as passed:
            await _command(connection, "SET", key, value, "EX", EXPIRY_SECONDS)
            answer = await _command(connection, "GET", key)
        found.add(families.REDIS_ROUND_TRIP, passed())
        if answer != value:
            raise Failed(Reason.VALUE, "GET did not give what SET had stored")


async def _command(connection: Any, *words: str | bytes | int) -> Any:
    await connection.send_command(*words)
    return await connection.read_response()


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
            if isinstance(cause, OSError):
                return from_os_error(cause)
            return Failed(Reason.RESET, f"{stage}: {error}")
        case exceptions.ResponseError():
            denied = str(error).startswith(("NOAUTH", "WRONGPASS", "NOPERM"))
            return Failed(Reason.AUTH if denied else Reason.QUERY, f"{stage}: {error}")
        case _:
            return Failed(Reason.PROTOCOL, f"{stage}: {error}")
