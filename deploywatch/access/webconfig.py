"""Who may talk to a server: checks TLS, bcrypt basic auth and bearer tokens by its `--web.config.file`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
from aiohttp import web

from deploywatch import logs
from deploywatch.access import files as web_files
from deploywatch.access.files import Loaded, identities
from deploywatch.access.guesses import BusyError, Guesses, Refusal
from deploywatch.access.proxy_identity import KIND as BY_PROXY
from deploywatch.access.proxy_identity import Proxy, UntrustedError
from deploywatch.access.scopes import ALL_SCOPES, Identity, Scope
from deploywatch.access.settings import WebConfig

log = logs.get("web")

_WIDE = "these may do everything; narrow them with credentials: [{token_file: …, scopes: [webhook]}]"

USER = web.RequestKey("user", str)
"""In a request that bore good credentials with a user's name: that name."""

# bcrypt of a random text that nobody has kept, at the usual cost.
_NOBODY = b"$2b$10$vZS4O2NWdBjE8wMvW2OIgeN98b6yMfrhv4PRmD7btdUnR40DY2jNC"


@dataclass(frozen=True, slots=True)
class Proof:
    """A credential that was found good: whose it is, and a digest by which it is known again, but cannot be used."""

    identity: Identity
    digest: str


class Access:
    """The web config in force; a reload takes over what the file says now, certificates and tokens included."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._verified: set[bytes] = set()
        self.guesses = Guesses()
        self.loaded = Loaded(WebConfig())
        self._listening = False
        self.use(self.read())
        # Only a config that replaces another may not switch TLS on or off: the socket is bound already.
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
        entries = loaded.settings.credentials
        self._by_user = identities("password", ((entry.user, entry) for entry in entries))
        self._by_certificate = identities("certificate", ((entry.certificate, entry) for entry in entries))
        proxied = identities(BY_PROXY, ((entry.proxy_user, entry) for entry in entries))
        proxy = loaded.settings.proxy_identity
        self._proxy = Proxy(proxy, proxied, loaded.signing_keys) if proxy else None
        self._named = {_digest(b"token", token): identity for token, identity in self._narrow.items() if identity.name}
        # What was verified under the old file may be wrong by the new one.
        self._verified.clear()
        if loaded.settings.wide:
            log.warning(_WIDE, entries=", ".join(loaded.settings.wide))

    def _serve_latest(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        # The listening socket holds the first context; each new connection is given the newest.
        if self._latest is not None:
            connection.context = self._latest

    @property
    def required(self) -> bool:
        """Whether a caller must show credentials."""
        return self.loaded.asks

    async def allows(self, authorization: str) -> bool:
        """Whether this Authorization header is good."""
        return await self.identify(authorization) is not None

    async def identify(self, authorization: str, remote: str = "") -> Identity | None:
        """Who shows this Authorization header; None when it is not good, which is counted and logged.

        BusyError when so many passwords wait to be checked, or so many from this address, that this one is not.
        """
        scheme, _, value = authorization.partition(" ")
        identity, refusal = None, Refusal.MALFORMED if authorization else Refusal.MISSING
        # Schemes are case-insensitive (RFC 9110, 11.1), and clients use that.
        if scheme.lower() == "bearer":
            identity, refusal = self._bearer(value.strip().encode(errors="surrogateescape")), Refusal.TOKEN
        elif scheme.lower() == "basic" and (pair := _pair(value)) is not None:
            refusal = Refusal.PASSWORD
            identity = await self._password(*pair, remote)
        if identity is None:
            self.guesses.note(refusal, remote)
        return identity

    async def prove_password(self, user: str, password: str, remote: str) -> Proof | None:
        """Whose name and password that is; None, counted and logged, for a wrong one. BusyError as for `identify`."""
        identity = await self._password(user, password, remote)
        if identity is None:
            self.guesses.note(Refusal.PASSWORD, remote)
            return None
        return Proof(identity, _digest(b"password", user.encode(), self._users[user]))

    def prove_token(self, given: str, remote: str) -> Proof | None:
        """Whose token that is; None where nobody has it. One without a name gives an identity without one."""
        # A token has no name to count by, so only the address counts.
        self._refuse_guesses(remote, "")
        token = given.encode(errors="surrogateescape")
        identity = self._bearer(token)
        if identity is None:
            self.guesses.attempts.note(remote, "")
            self.guesses.note(Refusal.TOKEN, remote)
            return None
        return Proof(identity, _digest(b"token", token))

    def still(self, kind: str, user: str, digest: str) -> Identity | None:
        """What a credential that was proven once may do now; None where it was changed or taken away since."""
        if kind == "token":
            return self._named.get(digest)
        hashed = self._users.get(user)
        if kind != "password" or hashed is None or _digest(b"password", user.encode(), hashed) != digest:
            return None
        return self._by_user.get(user, Identity(user, "password"))

    async def proxied(self, request: web.Request) -> Identity | None:
        """Whom the proxy in front names; None where it names nobody, or where its word does not count."""
        if self._proxy is None:
            return None
        try:
            return await self._proxy.identify(request)
        except UntrustedError as error:
            self.guesses.note(Refusal.PROXY, request.remote or "", why=str(error))
            return None

    def named_certificate(self, request: web.Request) -> Identity | None:
        """Whom the client certificate names, where it has an entry in `credentials`."""
        names = _names(_certificate(request))
        return next((self._by_certificate[name] for name in names if name in self._by_certificate), None)

    def certified(self, request: web.Request) -> Identity:
        """Who asks where nobody needs to show a token or a password: the one that the client certificate names."""
        certificate = _certificate(request)
        # TLS has checked the chain already, where the file asks for client certificates.
        if not certificate:
            return Identity()
        if (named := self.named_certificate(request)) is not None:
            return named
        names = _names(certificate)
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

    async def _password(self, user: str, password: str, remote: str) -> Identity | None:
        """Who the user is, if the password is good; a bcrypt check runs in a thread, and once for the same pair."""
        seen = hashlib.sha256(f"{user}\0{password}".encode(errors="surrogateescape")).digest()
        # An unknown user costs the same time as a wrong password.
        hashed = self._users.get(user, _NOBODY)
        if seen not in self._verified:
            self._refuse_guesses(remote, user)
            try:
                # The stored hash is part of the key: after a reload the same pair is another question.
                good = await self.guesses.check(seen + hashed, remote, lambda: _check(password.encode()[:72], hashed))
            except BusyError as error:
                self.guesses.note(error.reason, remote)
                raise
            # Asked again, because the config may have been reloaded meanwhile.
            if not good or self._users.get(user) != hashed:
                self.guesses.attempts.note(remote, user)
                return None
            self._verified.add(seen)
        return self._by_user.get(user, Identity(user, "password"))

    def _refuse_guesses(self, remote: str, user: str) -> None:
        try:
            self.guesses.attempts.refuse(remote, user)
        except BusyError as error:
            self.guesses.note(error.reason, remote)
            raise


def _digest(*parts: bytes) -> str:
    """By what a credential is known again."""
    # A NUL stands in no user name and no bcrypt hash, so that no two credentials come to one text.
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _certificate(request: web.Request) -> Mapping[str, Any]:
    """The client certificate of the connection, which TLS has verified; empty where there is none."""
    transport = request.transport
    return (transport.get_extra_info("peercert") if transport else None) or {}


def _pair(value: str) -> tuple[str, str] | None:
    """User and password of a basic credential; None for what is not base64, or not UTF-8 inside."""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return user, password


def _check(password: bytes, hashed: bytes) -> bool:
    try:
        # bcrypt reads 72 bytes and newer libraries refuse more; Prometheus's exporter-toolkit cuts too.
        return bcrypt.checkpw(password, hashed)
    except ValueError:
        return False


def _names(certificate: Mapping[str, Any]) -> list[str]:
    """The names of a verified client certificate: its common name, then the alternative ones."""
    common = [value for parts in certificate.get("subject", ()) for key, value in parts if key == "commonName"]
    return [*common, *(value for _, value in certificate.get("subjectAltName", ()))]
