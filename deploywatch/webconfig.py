"""Who may talk to a server: checks TLS, bcrypt basic auth and bearer tokens by its `--web.config.file`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bcrypt
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from deploywatch import logs, web_files
from deploywatch.guesses import BusyError, Guesses, Refusal
from deploywatch.scopes import ALL_SCOPES, IDENTITY, Identity, Scope, needed
from deploywatch.web_files import Loaded, identities
from deploywatch.web_settings import WebConfig

log = logs.get("web")

USER = web.RequestKey("user", str)
"""In a request that bore good credentials with a user's name: that name."""

_NOBODY = b"$2b$10$vZS4O2NWdBjE8wMvW2OIgeN98b6yMfrhv4PRmD7btdUnR40DY2jNC"


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
        return web_files.read(self._path, self.loaded if self._listening else None)

    def use(self, loaded: Loaded) -> None:
        """Put what was read in force; connections that are open already go on."""
        self.loaded = loaded
        self._latest = loaded.ssl
        self.headers = loaded.settings.http_server_config.headers
        self._tokens = loaded.tokens
        users = loaded.settings.basic_auth_users
        self._users = {user: hashed.get_secret_value().encode() for user, hashed in users.items()}
        self._narrow = loaded.narrow
        self._by_user = identities("password", ((entry.user, entry) for entry in loaded.settings.credentials))
        self._by_certificate = identities(
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


def _names(certificate: Mapping[str, Any]) -> list[str]:
    """The names of a verified client certificate: its common name, then the alternative ones."""
    common = [value for parts in certificate.get("subject", ()) for key, value in parts if key == "commonName"]
    return [*common, *(value for _, value in certificate.get("subjectAltName", ()))]
