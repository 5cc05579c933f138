"""The `--web.config.file` of a server, in exporter-toolkit's format: TLS, bcrypt basic auth, and bearer tokens."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ssl
from pathlib import Path
from typing import Literal

import bcrypt
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import Field, field_validator

from deploywatch import config
from deploywatch.config import RelativePath, Settings
from deploywatch.errors import ConfigError, Problem
from deploywatch.secrets import Secret

_TLS_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_NOBODY = b"$2b$10$vZS4O2NWdBjE8wMvW2OIgeN98b6yMfrhv4PRmD7btdUnR40DY2jNC"
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


class HttpServer(Settings):
    """`http2` is accepted for compatibility (HTTP/1.1 is spoken); `headers` are added to every answer."""

    http2: bool = True
    headers: dict[str, str] = Field(default_factory=dict)


class WebConfig(Settings):
    """Who may talk to a server, and how; empty means plain HTTP, open to all who reach the port."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: dict[str, Secret] = Field(default_factory=dict)
    bearer_tokens: tuple[Secret, ...] = ()
    bearer_token_files: tuple[RelativePath, ...] = ()

    @field_validator("basic_auth_users")
    @classmethod
    def _bcrypt_only(cls, users: dict[str, Secret]) -> dict[str, Secret]:
        for user, hashed in users.items():
            if not hashed.get_secret_value().startswith(("$2a$", "$2b$", "$2y$")):
                raise ValueError(
                    f"the password of {user!r} is not a bcrypt hash; make one with: htpasswd -nBC 10 {user}"
                )
        return users


class Access:
    """The web config in force; `reload` reads the file again, certificates included."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._verified: set[bytes] = set()
        self.ssl: ssl.SSLContext | None = None
        self.reload()

    def reload(self) -> None:
        """Take over what the file says now; ConfigError, and nothing changed, when it is not valid."""
        settings = config.load(self._path, WebConfig) if self._path else WebConfig()
        tokens = [token.get_secret_value() for token in settings.bearer_tokens]
        try:
            tokens += [path.read_text().strip() for path in settings.bearer_token_files]
            context = _ssl_context(settings.tls_server_config)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError([Problem(str(self._path), 0, 0, "", f"cannot be used: {error}")]) from error
        if self.ssl is not None and settings.tls_server_config is not None:
            # The listening socket holds this context, so the new certificate goes into it.
            self.ssl.load_cert_chain(settings.tls_server_config.cert_file, settings.tls_server_config.key_file)
        else:
            self.ssl = context
        self.headers = settings.http_server_config.headers
        self._tokens = [token.encode() for token in tokens if token]
        self._users = {user: hashed.get_secret_value().encode() for user, hashed in settings.basic_auth_users.items()}
        self._verified.clear()

    @property
    def required(self) -> bool:
        """Whether a caller must show credentials."""
        return bool(self._tokens or self._users)

    async def allows(self, authorization: str) -> bool:
        """Whether this Authorization header is good; a bcrypt check runs in a thread, and once for the same header."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return any(hmac.compare_digest(value.strip().encode(), token) for token in self._tokens)
        if scheme.lower() != "basic":
            return False
        seen = hashlib.sha256(value.encode()).digest()
        if seen in self._verified:
            return True
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        # An unknown user costs the same time as a wrong password.
        hashed = self._users.get(user, _NOBODY)
        good = await asyncio.to_thread(_check, password.encode()[:72], hashed)
        if good and user in self._users:
            self._verified.add(seen)
            return True
        return False


def guard(access: Access, open_paths: frozenset[str]) -> Middleware:
    """A middleware that asks for credentials, except on `open_paths`, and adds the configured headers."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        guarded = access.required and request.path not in open_paths
        if guarded and not await access.allows(request.headers.get("Authorization", "")):
            return web.Response(
                status=401,
                text="credentials are missing or wrong\n",
                headers={"WWW-Authenticate": 'Basic realm="deploywatch", charset="UTF-8"'},
            )
        response = await handler(request)
        if not response.prepared:
            response.headers.update(access.headers)
        return response

    return middleware


def _check(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:
        return False


def _ssl_context(settings: TlsServer | None) -> ssl.SSLContext | None:
    if settings is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _TLS_VERSIONS[settings.min_version]
    context.maximum_version = _TLS_VERSIONS[settings.max_version]
    context.load_cert_chain(settings.cert_file, settings.key_file)
    if settings.client_ca_file:
        context.load_verify_locations(settings.client_ca_file)
    context.verify_mode = _CLIENT_AUTH[settings.client_auth_type]
    return context
