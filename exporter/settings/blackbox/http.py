"""blackbox_exporter's `http` section, with Prometheus's client settings in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from deploywatch.exporter.net.http.header_fields import HeaderName
from deploywatch.exporter.net.http.judging.expectations import Version
from deploywatch.exporter.net.pattern import Pattern
from deploywatch.exporter.settings.blackbox.parts import HeaderText, Part, Reached, SecretFile, TlsConfig, read, refused
from deploywatch.files.watched_files import WATCHED


def _body(base: Path, name: str) -> str:
    path = base / Path(name).expanduser()
    try:
        return WATCHED.read_bytes(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error


def _body_can_be_read(name: str, info: ValidationInfo) -> str:
    if name:
        _body((info.context or {}).get("base", Path()), name)
    return name


def _known_version(text: str) -> str:
    if _version(text) not in get_args(Version):
        raise ValueError(f"{text!r} is never answered; write HTTP/1.0, HTTP/1.1 or HTTP/2.0")
    return text


BodyFile = Annotated[str, AfterValidator(_body_can_be_read)]

MAX_BODY = "64MiB"
"""How much of a body is read where blackbox.yml sets no limit; it has none, and memory has."""

_CEL = refused("write the module with kind: http, and what must hold of the JSON as expect: {values: [foo == bar]}")
_ONE_FILE_OR_VALUE = "are both given; keep one"


class BasicAuth(Part):
    """Prometheus's `basic_auth`."""

    username: str = ""
    username_file: SecretFile = ""
    password: str = ""
    password_file: SecretFile = ""
    username_ref: refused("write username or username_file") = None  # type: ignore[valid-type]
    password_ref: refused("write password or password_file") = None  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name in ("username", "password"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise ValueError(f"{name} and {name}_file {_ONE_FILE_OR_VALUE}")
        return self

    def native(self, base: Path) -> dict[str, Any]:
        """Our `username` and `password`."""
        out: dict[str, Any] = {"username": read(base, self.username_file) if self.username_file else self.username}
        out |= {"password": self.password} if self.password else {}
        return out | ({"password_file": self.password_file} if self.password_file else {})


class Authorization(Part):
    """Prometheus's `authorization`."""

    type: str = "Bearer"
    credentials: str = ""
    credentials_file: SecretFile = ""
    credentials_ref: refused("write credentials or credentials_file") = None  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.credentials and self.credentials_file:
            raise ValueError(f"credentials and credentials_file {_ONE_FILE_OR_VALUE}")
        if self.type.lower() == "basic":
            raise ValueError("type: Basic is written as basic_auth: {username: ..., password: ...}")
        return self

    def native(self, base: Path) -> dict[str, Any]:
        """A bearer token, or a header of another type."""
        if self.type.strip().lower() == "bearer":
            file = {"bearer_token_file": self.credentials_file} if self.credentials_file else {}
            return file or ({"bearer_token": self.credentials} if self.credentials else {})
        secret = read(base, self.credentials_file) if self.credentials_file else self.credentials
        return {"headers": {"Authorization": f"{self.type.strip()} {secret}".strip()}}


class OAuth2(Part):
    """Prometheus's `oauth2`, with the grant type client credentials."""

    client_id: str
    client_secret: str = ""
    client_secret_file: SecretFile = ""
    client_secret_ref: refused("write client_secret or client_secret_file") = None  # type: ignore[valid-type]
    scopes: tuple[str, ...] = ()
    token_url: str
    endpoint_params: dict[str, str] = Field(default_factory=dict)
    tls_config: TlsConfig = TlsConfig()
    proxy_url: str = ""
    no_proxy: str = ""
    proxy_from_environment: bool = False
    proxy_connect_header: dict[HeaderName, Any] = Field(default_factory=dict)
    grant_type: Literal["", "client_credentials"] = ""

    def native(self, base: Path) -> dict[str, Any]:
        """Our `oauth2`."""
        names = ("client_id", "client_secret", "client_secret_file", "scopes", "token_url", "endpoint_params")
        out = {name: getattr(self, name) for name in names if getattr(self, name)}
        return {"oauth2": out | _proxy(self) | self.tls_config.native(base)}


class HeaderSource(Part):
    """One of Prometheus's `http_headers`; the last of its values is sent, files before secrets before values."""

    values: tuple[HeaderText, ...] = ()
    secrets: tuple[HeaderText, ...] = ()
    files: tuple[SecretFile, ...] = ()

    def native(self, base: Path) -> dict[str, Any]:
        """The value, if there is one."""
        last = [*self.values, *self.secrets][-1:]
        value = read(base, self.files[-1]) if self.files else last[0] if last else None
        return {} if value is None else {"value": value}


class HeaderMatch(Part):
    """One of `fail_if_header_matches` and `fail_if_header_not_matches`."""

    header: HeaderName
    regexp: Pattern
    allow_missing: bool = False

    def native(self, base: Path) -> dict[str, Any]:
        """What both have in common."""
        return {"header": self.header, "allow_missing": self.allow_missing}


class Http(Reached):
    """The whole section."""

    valid_status_codes: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    valid_http_versions: tuple[Annotated[str, AfterValidator(_known_version)], ...] = ()
    method: str = ""
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict)
    http_headers: dict[HeaderName, HeaderSource] = Field(default_factory=dict)
    body: str = ""
    body_file: BodyFile = ""
    body_size_limit: Any = None
    compression: str = ""
    follow_redirects: bool = True
    no_follow_redirects: bool = False
    fail_if_ssl: bool = False
    fail_if_not_ssl: bool = False
    fail_if_body_json_matches_cel: _CEL = None  # type: ignore[valid-type]
    fail_if_body_json_not_matches_cel: _CEL = None  # type: ignore[valid-type]
    fail_if_body_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_body_not_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_header_matches: tuple[HeaderMatch, ...] = ()
    fail_if_header_not_matches: tuple[HeaderMatch, ...] = ()
    tls_config: TlsConfig = TlsConfig()
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    bearer_token: str = ""
    bearer_token_file: SecretFile = ""
    oauth2: OAuth2 | None = None
    proxy_url: str = ""
    no_proxy: str = ""
    proxy_from_environment: bool = False
    proxy_connect_header: dict[HeaderName, Any] = Field(default_factory=dict)
    skip_resolve_phase_with_proxy: bool = False
    enable_http2: bool = True
    enable_http3: refused("HTTP/3 is not spoken; probe the server with enable_http2") = None  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.body and self.body_file:
            raise ValueError(f"body and body_file {_ONE_FILE_OR_VALUE}")
        if self.fail_if_ssl and self.fail_if_not_ssl:
            raise ValueError("fail_if_ssl and fail_if_not_ssl are both given; no answer would be good")
        ways = (self.basic_auth, self.authorization, self.oauth2, self.bearer_token, self.bearer_token_file)
        if sum(bool(way) for way in ways) > 1:
            raise ValueError("more than one of basic_auth, authorization, oauth2, bearer_token; keep one")
        return self

    def native(self, base: Path) -> dict[str, Any]:
        """An http module of ours."""
        out: dict[str, Any] = {"kind": "http", **self.addresses(), "max_body": _size(self.body_size_limit) or MAX_BODY}
        names = ("method", "body", "compression", "bearer_token", "bearer_token_file")
        out |= {name: getattr(self, name) for name in names if getattr(self, name)}
        if self.body_file:
            out["body"] = _body(base, self.body_file)
        if not self.follow_redirects or self.no_follow_redirects:
            out["redirects"] = 0
        out |= {"enable_http2": self.enable_http2} | _proxy(self)
        if "proxy_url" in out or self.proxy_from_environment:
            out["proxy_resolves"] = self.skip_resolve_phase_with_proxy
        for part in (self.tls_config, self.basic_auth, self.authorization, self.oauth2):
            out |= part.native(base) if part else {}
        sources = {name: source.native(base) for name, source in self.http_headers.items()}
        own = {name: value["value"] for name, value in sources.items() if value}
        headers = {**self.headers, **own, **out.get("headers", {})}
        return out | ({"headers": headers} if headers else {}) | self._expect()

    def _expect(self) -> dict[str, Any]:
        expect: dict[str, Any] = {}
        if self.valid_status_codes:
            expect["status"] = [str(code) for code in self.valid_status_codes]
        if self.valid_http_versions:
            expect["http_version"] = [_version(text) for text in self.valid_http_versions]
        if self.fail_if_ssl or self.fail_if_not_ssl:
            expect["tls"] = self.fail_if_not_ssl
        expect |= {"body_not": self.fail_if_body_matches_regexp} if self.fail_if_body_matches_regexp else {}
        expect |= {"body": self.fail_if_body_not_matches_regexp} if self.fail_if_body_not_matches_regexp else {}
        rules = [
            *({**rule.native(Path()), "not_matches": rule.regexp} for rule in self.fail_if_header_matches),
            *({**rule.native(Path()), "matches": rule.regexp} for rule in self.fail_if_header_not_matches),
        ]
        expect |= {"header_rules": rules} if rules else {}
        expect |= {"whole_body": True} if self.body_size_limit else {}
        return {"expect": expect} if expect else {}


def _proxy(part: Http | OAuth2) -> dict[str, Any]:
    names = ("proxy_url", "no_proxy", "proxy_from_environment")
    out = {name: getattr(part, name) for name in names if getattr(part, name)}
    given = {
        name: str(values[-1] if isinstance(values, list) else values)
        for name, values in part.proxy_connect_header.items()
        if values
    }
    return out | ({"proxy_connect_header": given} if given else {})


def _size(given: Any) -> Any:
    """In blackbox.yml a KB is 1024 bytes, and a number alone is bytes."""
    if isinstance(given, int):
        return f"{given}B" if given else None
    return re.sub(r"(?<=[KMGTPE])B", "iB", given) if isinstance(given, str) else given


def _version(text: str) -> str:
    return text.removeprefix("HTTP/").removesuffix(".0") if text.startswith("HTTP/2") else text.removeprefix("HTTP/")
