"""The address of a Redis server: all that its URL asks for is read by the library, or refused."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from redis import exceptions

from deploywatch.config import nearest
from deploywatch.exporter.net.databases.redis_connection import Encrypted, unconnected
from deploywatch.secrets import SecretUrl

_HINT = "not a Redis URL; write redis://host:6379/0, rediss://… for TLS, or unix:///path"
_DATABASE = re.compile(r"/?\d*/?", re.ASCII)
_PARAMETERS = frozenset({"db", "username", "password", "client_name"})
_NEEDLESS = frozenset(
    {"socket_timeout", "socket_connect_timeout", "timeout", "retry_on_timeout", "max_connections"}
    | {"health_check_interval", "socket_keepalive"}
)


def redis_url(url: SecretUrl) -> SecretUrl:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(_HINT)
    _nothing_unread(url.get_secret_value())
    try:
        connection = unconnected(url)
        # Built here, lest a CA file that is missing be found at the first run only.
        if isinstance(connection, Encrypted):
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
    # A password with a # in it, not written as %23, ends there in silence.
    if parts.fragment:
        raise ValueError("has a #, after which nothing is read; write it as %23")
    if parts.scheme != "unix" and not _DATABASE.fullmatch(parts.path):
        raise ValueError("the database must be a number, as in redis://host:6379/0; write none for 0")
    if parts.scheme != "unix" and "," in parts.netloc.rpartition("@")[2]:
        raise ValueError("several hosts, and a probe asks one; write a probe for each node")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if parts.scheme != "unix" and parts.path.strip("/"):
        names.append("db")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} is there twice; keep one")
    _only_known(pairs)


def _only_known(pairs: list[tuple[str, str]]) -> None:
    for name, value in pairs:
        if name in _NEEDLESS:
            raise ValueError(f"{name}: the probe's timeout bounds a run, which has one connection; remove it")
        if name not in _PARAMETERS and not name.startswith("ssl_"):
            raise ValueError(f"{name}: no parameter of a Redis URL that is read here{nearest(name, _PARAMETERS)}")
        if name == "db" and not (value.isascii() and value.isdigit()):
            raise ValueError("db must be a number")
