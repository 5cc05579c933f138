"""What a web config file says, in exporter-toolkit's format: TLS, headers, users, tokens and their scopes."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from deploywatch.access.proxy_settings import ProxyIdentity
from deploywatch.access.scopes import Scope
from deploywatch.config import RelativePath, Settings
from deploywatch.secrets import Secret

_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")


class TlsServer(Settings):
    """Certificate and key of the server, and which client certificates it asks for."""

    cert_file: RelativePath
    key_file: RelativePath
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: RelativePath | None = None
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    # The names are of Prometheus's web configuration file, which this one is.
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
    proxy_user: str | None = None
    scopes: tuple[Scope, ...] = Field(min_length=1)
    labels: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (self.token, self.token_file, self.user, self.certificate, self.proxy_user)
        # Several ways in one entry would leave open which of them names the person.
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one of token, token_file, user, certificate and proxy_user")
        return self

    @property
    def shown(self) -> str:
        """Which credential this is, without its token."""
        if self.user is not None:
            return f"the user {self.user}"
        if self.certificate is not None:
            return f"the certificate {self.certificate}"
        if self.proxy_user is not None:
            return f"{self.proxy_user}, as the proxy names them,"
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
    proxy_identity: ProxyIdentity | None = None

    @model_validator(mode="after")
    def _users_have_passwords(self) -> Self:
        for credential in self.credentials:
            if credential.user is not None and credential.user not in self.basic_auth_users:
                raise ValueError(f"credentials: the user {credential.user!r} has no password in basic_auth_users")
            if credential.proxy_user is not None and self.proxy_identity is None:
                raise ValueError("credentials: a proxy_user needs proxy_identity, which says how the proxy names users")
            if credential.certificate is not None and not (
                self.tls_server_config and self.tls_server_config.client_ca_file
            ):
                raise ValueError("credentials: a certificate needs a client_ca_file in tls_server_config")
        return self

    @property
    def wide(self) -> tuple[str, ...]:
        """Which entries may do everything, as exporter-toolkit's file means them."""
        # A user that an entry narrows is no longer a key to everything.
        narrow = {credential.user for credential in self.credentials}
        users = tuple(f"basic_auth_users.{user}" for user in self.basic_auth_users if user not in narrow)
        tokens = ("bearer_tokens",) if self.bearer_tokens else ()
        files = ("bearer_token_files",) if self.bearer_token_files else ()
        return (*tokens, *files, *users)

    @property
    def described(self) -> tuple[str, ...]:
        """What each credential may do, a line each; no token stands in it."""
        narrow = (f"{entry.shown} may {', '.join(entry.scopes)}{entry.labelled}" for entry in self.credentials)
        proxy = self.proxy_identity
        others = ", ".join(proxy.scopes) if proxy and proxy.scopes else "nothing"
        named = (f"whom the proxy names beside these may {others}",) if proxy else ()
        wide = (f"{entry} may do everything; narrow it with an entry in credentials" for entry in self.wide)
        return (*narrow, *named, *wide)

    @field_validator("basic_auth_users")
    @classmethod
    def _bcrypt_only(cls, users: dict[str, Secret]) -> dict[str, Secret]:
        for user, hashed in users.items():
            if not _BCRYPT.fullmatch(hashed.get_secret_value()):
                raise ValueError(
                    f"the password of {user!r} is not a bcrypt hash; make one with: htpasswd -nBC 10 {user}"
                )
        return users
