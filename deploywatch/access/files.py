"""Reads a web config and the files that it names: tokens, certificate, key and CA; each fault with its place."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploywatch import config
from deploywatch.access import signing_keys
from deploywatch.access.scopes import Identity
from deploywatch.access.settings import Credential, TlsServer, WebConfig
from deploywatch.access.signing_keys import Keys, KeysError
from deploywatch.errors import ConfigError
from deploywatch.files.document import Document

_TLS_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A web config with the files that it names, all found good."""

    settings: WebConfig
    tokens: tuple[bytes, ...] = ()
    narrow: Mapping[bytes, Identity] = field(default_factory=dict)
    ssl: ssl.SSLContext | None = None
    signing_keys: Keys = field(default_factory=dict)

    @property
    def authenticates(self) -> bool:
        """Whether nobody is served who does not show a credential, or comes with a proxy's word."""
        # `VerifyClientCertIfGiven` lets in whoever gives none.
        certificates = self.ssl is not None and self.ssl.verify_mode is ssl.CERT_REQUIRED
        return self.asks or certificates

    @property
    def asks(self) -> bool:
        """Whether a request must show who sends it, beside the connection's certificate."""
        settings = self.settings
        return bool(self.tokens or self.narrow or settings.basic_auth_users or settings.proxy_identity)


_NEEDS_RESTART = "only the certificate, key and CA files can change while the server runs; restart it"


def read(path: Path | None, running: Loaded | None) -> Loaded:
    """What the file says now, not yet in force; ConfigError when it is not valid, or not for a server `running`."""
    if path is None:
        return Loaded(WebConfig())
    document = config.read_file(path, os.environ)
    settings = config.build(document, WebConfig, base=path.parent)
    loaded = Loaded(
        settings,
        tuple(_tokens(settings, document)),
        dict(_narrow_tokens(settings, document)),
        _ssl_context(settings.tls_server_config, document),
        _signing_keys(settings, document),
    )
    # A listening socket keeps the context that it was made with; only its certificates can be loaded anew.
    if running and _fixed(running.settings) != _fixed(settings):
        document.report(("tls_server_config",), _NEEDS_RESTART)
    if document.problems:
        raise ConfigError(document.problems)
    return loaded


def identities(kind: str, named: Iterable[tuple[str | None, Credential]]) -> dict[str, Identity]:
    return {name: _identity(credential, kind, name) for name, credential in named if name is not None}


def _identity(credential: Credential, kind: str, name: str) -> Identity:
    return Identity(credential.name or name, kind, frozenset(credential.scopes), credential.labels)


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
        # The first entry would win in silence, and the scopes of the other never count.
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


def _signing_keys(settings: WebConfig, document: Document) -> Keys:
    signed = settings.proxy_identity.jwt if settings.proxy_identity else None
    if signed is None or signed.keys_file is None:
        return {}
    try:
        return signing_keys.read(signed.keys_file)
    except KeysError as error:
        document.report(("proxy_identity", "jwt", "keys_file"), f"{signed.keys_file} {error}")
        return {}


def _ssl_context(settings: TlsServer | None, document: Document) -> ssl.SSLContext | None:
    if settings is None:
        return None
    _require_readable(settings, document)
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


def _require_readable(settings: TlsServer, document: Document) -> None:
    """Read the files before OpenSSL does: its own error names neither the file nor the reason."""
    for key in ("cert_file", "key_file", "client_ca_file"):
        if path := getattr(settings, key):
            _content(path, document, ("tls_server_config", key))


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
