"""The `--web.config.file` of a server, in exporter-toolkit's format: TLS, bcrypt basic auth, and bearer tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import bcrypt
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import Field, field_validator, model_validator

from deploywatch import config, logs
from deploywatch.config import RelativePath, Settings
from deploywatch.document import Document
from deploywatch.errors import ConfigError
from deploywatch.guesses import BusyError, Guesses, Refusal
from deploywatch.scopes import ALL_SCOPES, IDENTITY, Identity, Scope, needed
from deploywatch.secrets import Secret

log = logs.get("web")

USER = web.RequestKey("user", str)
"""In a request that bore good credentials with a user's name: that name."""

_TLS_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_NOBODY = b"$2b$10$vZS4O2NWdBjE8wMvW2OIgeN98b6yMfrhv4PRmD7btdUnR40DY2jNC"
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class TlsServer(Settings):
    """Certificate and key of the server, and which client certificates it asks for."""

    cert_file: RelativePath
    key_file: RelativePath
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: RelativePath | None = None
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.client_ca_file is None) != (self.client_auth_type == "NoClientCert"):
            raise ValueError("client_ca_file and a client_auth_type other than NoClientCert go together; give both")
        if self.min_version > self.max_version:
            raise ValueError("min_version is newer than max_version")
        return self


class HttpServer(Settings):
    """`http2` is accepted for compatibility (HTTP/1.1 is spoken); `headers` are added to every answer."""

    http2: bool = True
    headers: dict[str, str] = Field(default_factory=dict)


class Credential(Settings):
    """What one who shows a token, a user's password or a client certificate of this name may do.

    Their alerts get the `labels`. Without `name`, a token names nobody.
    """

    name: str = ""
    token: Secret | None = None
    token_file: RelativePath | None = None
    user: str | None = None
    certificate: str | None = None
    scopes: tuple[Scope, ...] = Field(min_length=1)
    labels: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (self.token, self.token_file, self.user, self.certificate)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one of token, token_file, user and certificate")
        return self

    @property
    def shown(self) -> str:
        """Which credential this is, without its token."""
        if self.user is not None:
            return f"the user {self.user}"
        if self.certificate is not None:
            return f"the certificate {self.certificate}"
        return self.name or (f"the token in {self.token_file}" if self.token_file else "a token without a name")

    @property
    def labelled(self) -> str:
        """The labels that its alerts get, in words."""
        return "".join(f"; its alerts get {name}={value}" for name, value in self.labels.items())


class WebConfig(Settings):
    """Who may talk to a server, and how; empty means plain HTTP, open to all who reach the port."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: dict[str, Secret] = Field(default_factory=dict)
    bearer_tokens: tuple[Secret, ...] = ()
    bearer_token_files: tuple[RelativePath, ...] = ()
    credentials: tuple[Credential, ...] = ()

    @model_validator(mode="after")
    def _users_have_passwords(self) -> Self:
        for credential in self.credentials:
            if credential.user is not None and credential.user not in self.basic_auth_users:
                raise ValueError(f"credentials: the user {credential.user!r} has no password in basic_auth_users")
            if credential.certificate is not None and not (
                self.tls_server_config and self.tls_server_config.client_ca_file
            ):
                raise ValueError("credentials: a certificate needs a client_ca_file in tls_server_config")
        return self

    @property
    def wide(self) -> tuple[str, ...]:
        """Which entries may do everything, as exporter-toolkit's file means them."""
        narrow = {credential.user for credential in self.credentials}
        users = tuple(f"basic_auth_users.{user}" for user in self.basic_auth_users if user not in narrow)
        tokens = ("bearer_tokens",) if self.bearer_tokens else ()
        files = ("bearer_token_files",) if self.bearer_token_files else ()
        return (*tokens, *files, *users)

    @property
    def described(self) -> tuple[str, ...]:
        """What each credential may do, a line each; no token stands in it."""
        narrow = (f"{entry.shown} may {', '.join(entry.scopes)}{entry.labelled}" for entry in self.credentials)
        wide = (f"{entry} may do everything; narrow it with an entry in credentials" for entry in self.wide)
        return (*narrow, *wide)

    @field_validator("basic_auth_users")
    @classmethod
    def _bcrypt_only(cls, users: dict[str, Secret]) -> dict[str, Secret]:
        for user, hashed in users.items():
            if not _BCRYPT.fullmatch(hashed.get_secret_value()):
                raise ValueError(
                    f"the password of {user!r} is not a bcrypt hash; make one with: htpasswd -nBC 10 {user}"
                )
        return users


@dataclass(frozen=True, slots=True)
class Loaded:
    """A web config with the files that it names, all found good."""

    settings: WebConfig
    tokens: tuple[bytes, ...] = ()
    narrow: Mapping[bytes, Identity] = field(default_factory=dict)
    ssl: ssl.SSLContext | None = None

    @property
    def authenticates(self) -> bool:
        """Whether nobody is served who does not show a token, a password or a client certificate."""
        certificates = self.ssl is not None and self.ssl.verify_mode is ssl.CERT_REQUIRED
        return bool(self.tokens or self.narrow or self.settings.basic_auth_users) or certificates


class Access:
    """The web config in force; a reload takes over what the file says now, certificates and tokens included."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._verified: set[bytes] = set()
        self.guesses = Guesses()
        self.loaded = Loaded(WebConfig())
        self._listening = False
        self.use(self.read())
        self._listening = True
        self.ssl = self._latest
        if self.ssl is not None:
            self.ssl.sni_callback = self._serve_latest

    def reload(self) -> None:
        """Take over what the file says now; ConfigError, and nothing changed, when it is not valid."""
        self.use(self.read())

    def read(self) -> Loaded:
        """What the file says now, not yet in force; ConfigError when it is not valid."""
        if self._path is None:
            return Loaded(WebConfig())
        document = config.read_file(self._path, os.environ)
        settings = config.build(document, WebConfig, base=self._path.parent)
        loaded = Loaded(
            settings,
            tuple(_tokens(settings, document)),
            dict(_narrow_tokens(settings, document)),
            _ssl_context(settings.tls_server_config, document),
        )
        if self._listening and _fixed(self.loaded.settings) != _fixed(settings):
            document.report(
                ("tls_server_config",),
                "only the certificate, key and CA files can change while the server runs; restart it",
            )
        if document.problems:
            raise ConfigError(document.problems)
        return loaded

    def use(self, loaded: Loaded) -> None:
        """Put what was read in force; connections that are open already go on."""
        self.loaded = loaded
        self._latest = loaded.ssl
        self.headers = loaded.settings.http_server_config.headers
        self._tokens = loaded.tokens
        users = loaded.settings.basic_auth_users
        self._users = {user: hashed.get_secret_value().encode() for user, hashed in users.items()}
        self._narrow = loaded.narrow
        self._by_user = _identities("password", ((entry.user, entry) for entry in loaded.settings.credentials))
        self._by_certificate = _identities(
            "certificate", ((entry.certificate, entry) for entry in loaded.settings.credentials)
        )
        self._verified.clear()
        if loaded.settings.wide:
            log.warning(
                "these may do everything; narrow them with credentials: [{token_file: …, scopes: [webhook]}]",
                entries=", ".join(loaded.settings.wide),
            )

    def _serve_latest(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        # The listening socket holds the first context; each new connection is given the newest.
        if self._latest is not None:
            connection.context = self._latest

    @property
    def required(self) -> bool:
        """Whether a caller must show credentials."""
        return bool(self._tokens or self._narrow or self._users)

    async def allows(self, authorization: str) -> bool:
        """Whether this Authorization header is good."""
        return await self.identify(authorization) is not None

    async def identify(self, authorization: str, remote: str = "") -> Identity | None:
        """Who shows this Authorization header; None when it is not good, which is counted and logged.

        BusyError when so many passwords wait to be checked, or so many from this address, that this one is not.
        """
        scheme, _, value = authorization.partition(" ")
        identity, refusal = None, Refusal.MALFORMED if authorization else Refusal.MISSING
        if scheme.lower() == "bearer":
            identity, refusal = self._bearer(value.strip().encode(errors="surrogateescape")), Refusal.TOKEN
        elif scheme.lower() == "basic" and (pair := _pair(value)) is not None:
            refusal = Refusal.PASSWORD
            if await self._password(value, *pair, remote):
                identity = self._by_user.get(pair[0], Identity(pair[0], "password"))
        if identity is None:
            self.guesses.note(refusal, remote)
        return identity

    def certified(self, request: web.Request) -> Identity:
        """Who asks where nobody needs to show a token or a password: the one that the client certificate names."""
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        if not certificate:
            return Identity()
        names = _names(certificate)
        for name in names:
            if name in self._by_certificate:
                return self._by_certificate[name]
        # Where certificates are named, one that is not may do nothing.
        scopes = frozenset[Scope]() if self._by_certificate else ALL_SCOPES
        return Identity(names[0] if names else "", "certificate", scopes)

    def _bearer(self, given: bytes) -> Identity | None:
        # All are compared, so that the time taken does not say which one is alike.
        narrow = [who for token, who in self._narrow.items() if hmac.compare_digest(given, token)]
        wide = [token for token in self._tokens if hmac.compare_digest(given, token)]
        if narrow:
            return narrow[0]
        return Identity(kind="token") if wide else None

    async def _password(self, value: str, user: str, password: str, remote: str) -> bool:
        """Whether a user's password is good; a bcrypt check runs in a thread, and once for the same header."""
        seen = hashlib.sha256(value.encode(errors="surrogateescape")).digest()
        if seen in self._verified:
            return True
        # An unknown user costs the same time as a wrong password.
        hashed = self._users.get(user, _NOBODY)
        try:
            good = await self.guesses.check(seen + hashed, remote, lambda: _check(password.encode()[:72], hashed))
        except BusyError:
            self.guesses.note(Refusal.BUSY, remote)
            raise
        # Asked again, because the config may have been reloaded meanwhile.
        if good and self._users.get(user) == hashed:
            self._verified.add(seen)
            return True
        return False


def guard(access: Access, open_paths: frozenset[str]) -> Middleware:
    """A middleware that asks for credentials, except on `open_paths`, and adds the configured headers."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        guarded = access.required and request.path not in open_paths
        authorization = request.headers.get("Authorization", "")
        try:
            remote = request.remote or ""
            identity = await access.identify(authorization, remote) if guarded else access.certified(request)
        except BusyError:
            text = "too many passwords wait to be checked; try again\n"
            return web.Response(status=429, text=text, headers={**access.headers, "Retry-After": "1"})
        if identity is None:
            challenge = {"WWW-Authenticate": 'Basic realm="deploywatch", charset="UTF-8"'}
            text = "credentials are missing or wrong\n"
            return web.Response(status=401, text=text, headers={**access.headers, **challenge})
        request[IDENTITY] = identity
        if identity.verified:
            request[USER] = identity.name
        scope = needed(request.match_info.route) if request.path not in open_paths else None
        if scope is not None and scope not in identity.scopes:
            text = f"this credential may not do this: it needs the scope {scope}\n"
            return web.Response(status=403, text=text, headers=access.headers)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(access.headers)
            raise
        if not response.prepared:
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            response.headers.update(access.headers)
        return response

    return middleware


def _pair(value: str) -> tuple[str, str] | None:
    """User and password of a basic credential; None for what is not base64, or not UTF-8 inside."""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return user, password


def _check(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:
        return False


def _identities(kind: str, named: Iterable[tuple[str | None, Credential]]) -> dict[str, Identity]:
    return {name: _identity(credential, kind, name) for name, credential in named if name is not None}


def _identity(credential: Credential, kind: str, name: str) -> Identity:
    return Identity(credential.name or name, kind, frozenset(credential.scopes), credential.labels)


def _names(certificate: Mapping[str, Any]) -> list[str]:
    """The names of a verified client certificate: its common name, then the alternative ones."""
    common = [value for parts in certificate.get("subject", ()) for key, value in parts if key == "commonName"]
    return [*common, *(value for _, value in certificate.get("subjectAltName", ()))]


def _narrow_tokens(settings: WebConfig, document: Document) -> Iterator[tuple[bytes, Identity]]:
    """The tokens that say what they are good for; one that is empty, or stands elsewhere too, is refused."""
    known = {token.get_secret_value().encode() for token in settings.bearer_tokens}
    for position, credential in enumerate(settings.credentials):
        place = ("credentials", position)
        if credential.token_file is not None:
            token = _content(credential.token_file, document, (*place, "token_file")).strip()
        elif credential.token is not None:
            token = credential.token.get_secret_value().encode()
        else:
            continue
        if not token and not document.problems:
            document.report(place, "the token is empty; write one, or take the entry out")
        if token in known:
            document.report(place, "the token stands in another entry too; give each credential its own")
        known.add(token)
        yield token, _identity(credential, "token", "")


def _tokens(settings: WebConfig, document: Document) -> Iterator[bytes]:
    """The tokens, from the config and from files; an empty one would leave the server open, and is refused."""
    for position, token in enumerate(settings.bearer_tokens):
        if not token.get_secret_value():
            document.report(("bearer_tokens", position), "is empty; write a token, or take the entry out")
        yield token.get_secret_value().encode()
    for position, path in enumerate(settings.bearer_token_files):
        content = _content(path, document, ("bearer_token_files", position)).strip()
        if not content and not document.problems:
            document.report(("bearer_token_files", position), f"{path} is empty; write a token into it")
        yield content


def _ssl_context(settings: TlsServer | None, document: Document) -> ssl.SSLContext | None:
    if settings is None:
        return None
    for key in ("cert_file", "key_file", "client_ca_file"):
        if path := getattr(settings, key):
            _content(path, document, ("tls_server_config", key))
    if document.problems:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _TLS_VERSIONS[settings.min_version]
    context.maximum_version = _TLS_VERSIONS[settings.max_version]
    try:
        # With no password given, OpenSSL would ask for an encrypted key's on the terminal.
        context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        if settings.client_ca_file:
            context.load_verify_locations(settings.client_ca_file)
    except (ssl.SSLError, ValueError) as error:
        document.report(("tls_server_config",), f"the certificate, key or CA file cannot be used: {error}")
    context.verify_mode = _CLIENT_AUTH[settings.client_auth_type]
    return context


def _content(path: Path, document: Document, key: tuple[str | int, ...]) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        document.report(key, f"cannot read {path}: {error.strerror}")
        return b""


def _fixed(settings: WebConfig) -> dict[str, object] | None:
    """What a listening TLS socket cannot change."""
    tls = settings.tls_server_config
    return tls.model_dump(exclude={"cert_file", "key_file", "client_ca_file"}) if tls else None
