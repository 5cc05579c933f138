"""PostgreSQL's URLs as libpq reads them: several hosts, and parameters that are honoured or refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from deploywatch.config import nearest
from deploywatch.exporter.net.databases.dsn_tls import DsnTls, dsn_tls

_DEFAULT_PORT = "5432"
_PLACE = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>/[^:]*|[^:\[\]]+))(?::(?P<port>\d*))?")
HINT = "not a PostgreSQL URL; write postgresql://user@host:5432/database"

# What asyncpg understands itself.
_LIBRARY = frozenset(
    {
        "host", "port", "dbname", "user", "password", "passfile", "sslmode", "sslcert", "sslkey", "sslrootcert",
        "sslcrl", "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version",
        "target_session_attrs", "krbsrvname", "gsslib",
    }
)  # fmt: skip
_ATTRIBUTES: dict[str, tuple[str | None, ...]] = {
    "any": (None,),
    "prefer-standby": ("standby", "any"),
    **{name: (name,) for name in ("read-write", "read-only", "primary", "standby")},
}
# What some of them may be; the library would tell only when it connects.
_VALUES: dict[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "gsslib": ("gssapi", "sspi"),
    **dict.fromkeys(
        ("ssl_min_protocol_version", "ssl_max_protocol_version"), ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
    ),
}
# What asyncpg does not know and libpq does: taken out of the URL, and done here.
_OURS = frozenset({"connect_timeout", "options", "application_name", "fallback_application_name", "client_encoding"})
# Settings of a session that PostgreSQL takes at its start.
_SESSION = frozenset({"search_path", "timezone", "datestyle", "intervalstyle", "statement_timeout", "lock_timeout"})
# What would be read and not done is refused with its reason, as a probe that asks something else than its URL says is
# worse than none.
_REFUSED = {
    "service": "its file could change what is probed; write what it says into the URL",
    "hostaddr": "write the address as the host, and the name as tls.server_name",
    "keepalives": "keepalives are always on; remove it",
    "keepalives_idle": "keepalives are always on; remove it",
    "keepalives_interval": "keepalives are always on; remove it",
    "keepalives_count": "keepalives are always on; remove it",
    "tcp_user_timeout": "the probe's timeout bounds it; remove it",
    "load_balance_hosts": "hosts are tried in their order; remove it",
    "channel_binding": "the library has no channel binding; remove it",
    "require_auth": "the library cannot restrict this; remove it",
    "gssencmode": "the library has no GSS encryption; remove it",
    "requiressl": "write sslmode=require",
    "sslsni": "the name is always sent; remove it",
    "sslcertmode": "a certificate is sent where sslcert names one; remove it",
    "sslcompression": "TLS compression is never used; remove it",
    "replication": "a probe asks in SQL; remove it",
}


Host = tuple[str, int] | None
"""A host and its port; None for the library's default, a socket of this machine."""


@dataclass(frozen=True, slots=True)
class Dsn:
    """A URL for the library; the seconds that each host has (None: its share of the run); and the hosts in their order.

    `wanted` are the target_session_attrs to try all hosts with, one after the other; `files` those of TLS, and `tls`
    what they are for, where it is not the library that reads them.
    """

    url: str
    connect_timeout: float | None
    hosts: tuple[Host, ...]
    wanted: tuple[str | None, ...]
    files: tuple[str, ...] = ()
    tls: DsnTls | None = None

    @property
    def place(self) -> str:
        """The first host and its port, or the socket's folder."""
        first = self.hosts[0]
        return f"{first[0]}:{first[1]}" if first else "localhost"


def parse_dsn(text: str) -> Dsn:
    """Read a URL; ValueError says what is wrong, without the URL's secrets."""
    try:
        parts = urlsplit(text)
        pairs = parse_qsl(parts.query, strict_parsing=True, keep_blank_values=True) if parts.query else []
    except ValueError as error:
        # Its message could show a part of the password, taken for a port.
        raise ValueError(HINT) from error
    if parts.fragment:
        raise ValueError("has a #, after which nothing is read; write it as %23")
    given = {name.lower(): value for name, value in pairs}
    if len(given) < len(pairs):
        twice = next(name for name in given if [other.lower() for other, _ in pairs].count(name) > 1)
        raise ValueError(f"{twice} is there twice; keep one")
    hosts = _hosts(parts.netloc.rpartition("@")[2], given.get("host"), given.get("port"))
    if parts.scheme not in {"postgresql", "postgres"} or not hosts:
        raise ValueError(HINT)
    for name, value in given.items():
        _refuse(name, value)
    if given.get("sslrootcert") == "system":
        raise ValueError("sslrootcert=system: the library does not know it; write tls: {} beside the dsn instead")
    kept = {name: value for name, value in given.items() if name in _LIBRARY - {"target_session_attrs"}}
    kept |= {name: value for name, value in given.items() if name in _SESSION or name == "application_name"}
    kept |= _options(given.get("options", ""))
    if "fallback_application_name" in given:
        kept.setdefault("application_name", given["fallback_application_name"])
    encoding = given.get("client_encoding", "utf8").lower().replace("-", "")
    if encoding not in {"utf8", "auto"}:
        raise ValueError("client_encoding: answers are always read as UTF-8; remove it")
    url = urlunsplit(parts._replace(query=urlencode(kept, quote_via=quote)))
    wanted = given.get("target_session_attrs", "any")
    if wanted not in _ATTRIBUTES:
        raise ValueError(f"target_session_attrs: {wanted!r} is none{nearest(wanted, _ATTRIBUTES)}")
    files = tuple(given[name] for name in ("sslcert", "sslkey", "sslrootcert", "sslcrl") if given.get(name))
    return Dsn(url, _seconds(given.get("connect_timeout")), hosts, _ATTRIBUTES[wanted], files, dsn_tls(given))


def _refuse(name: str, value: str) -> None:
    if name in _REFUSED:
        raise ValueError(f"{name}: {_REFUSED[name]}")
    if name not in _LIBRARY | _OURS | _SESSION:
        raise ValueError(
            f"{name}: no parameter of a PostgreSQL URL that is read here{nearest(name, _LIBRARY | _OURS | _SESSION)};"
            f" a setting of the session is written as options=-c%20{name}%3D…"
        )
    if name in _VALUES and value not in _VALUES[name]:
        raise ValueError(f"{name}: {value!r} is none of {', '.join(_VALUES[name])}")


def _seconds(text: str | None) -> float | None:
    """As libpq: whole seconds, 0 and less wait without limit, and 1 means 2."""
    if text is None:
        return None
    try:
        seconds = int(text)
    except ValueError as error:
        raise ValueError(f"connect_timeout: {text!r} is no whole number of seconds") from error
    # PostgreSQL's documentation of `connect_timeout` says so.
    return max(2.0, float(seconds)) if seconds > 0 else None


def _options(text: str) -> dict[str, str]:
    """`-c name=value` and `--name=value`, as they are given to a session of the server."""
    words, parameters = text.split(), dict[str, str]()
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            word = words.pop(0)
        elif word.startswith(("-c", "--")):
            word = word[2:]
        else:
            raise ValueError(f"options: {word!r} is not understood; write -c name=value")
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise ValueError(f"options: {word!r} is not understood; write -c name=value")
        parameters[name.replace("-", "_")] = value
    return parameters


def _hosts(netloc: str, host: str | None, port: str | None) -> tuple[Host, ...]:
    """The hosts with their ports; none when one of them cannot be read."""
    given = unquote(netloc) or host or ""
    if not given:
        return (None,)
    places = [match for place in given.split(",") if (match := _PLACE.fullmatch(place))]
    ports = port.split(",") if port else []
    if len(ports) == 1:
        ports *= len(places)
    if len(places) <= given.count(",") or len(ports) not in {0, len(places)}:
        return ()
    hosts: list[Host] = []
    for number, place in enumerate(places):
        text = (ports[number] if ports else place["port"]) or _DEFAULT_PORT
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
            return ()
        hosts.append((place["v6"] or place["host"], int(text)))
    return tuple(hosts)
