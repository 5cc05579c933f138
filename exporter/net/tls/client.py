"""The client's side of TLS in a config: whom to trust, who we are, and what name to expect."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Hashable
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from deploywatch.config import RelativePath, Settings
from deploywatch.exporter.net.tls.handshake import telling
from deploywatch.files.watched_files import WATCHED, Stamp, stamp_of

_VERSIONS = {
    "TLS 1.0": ssl.TLSVersion.TLSv1,
    "TLS 1.1": ssl.TLSVersion.TLSv1_1,
    "TLS 1.2": ssl.TLSVersion.TLSv1_2,
    "TLS 1.3": ssl.TLSVersion.TLSv1_3,
}


TlsVersion = Literal["TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"]


_ALPNS: tuple[tuple[str, ...], ...] = ((), ("h2", "http/1.1"), ("h2",))
"""What is offered anywhere: a context for each is made while the files are there."""


class TlsClient(Settings):
    """Trust the system's authorities unless `ca_file` says otherwise; `verify: false` trusts anyone.

    `ca_file` may also hold an intermediate or the server's own certificate. `ciphers` is a list as OpenSSL has it;
    a version below TLS 1.2 without `ciphers` takes what such servers have.
    """

    ca_file: RelativePath | None = None
    cert_file: RelativePath | None = None
    key_file: RelativePath | None = None
    server_name: str | None = None
    verify: bool = True
    min_version: TlsVersion | None = None
    max_version: TlsVersion | None = None
    ciphers: str | None = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file is given without cert_file; add it")
        if self.min_version and self.max_version and self.max_version < self.min_version:
            raise ValueError(f"max_version {self.max_version} is below min_version {self.min_version}; change one")
        if not (self.ca_file or self.cert_file or self.ciphers):
            return self
        try:
            for alpn in _ALPNS:
                context_for(self, alpn)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"the files or ciphers cannot be used: {error}") from error
        return self

    def _narrow(self, context: ssl.SSLContext) -> None:
        """Allow the versions and ciphers of the settings; old versions need ciphers that OpenSSL has put away."""
        if self.max_version and not self.min_version:
            context.minimum_version = min(_VERSIONS[self.max_version], ssl.TLSVersion.TLSv1_2)
        if self.min_version:
            context.minimum_version = _VERSIONS[self.min_version]
        if self.max_version:
            context.maximum_version = _VERSIONS[self.max_version]
        old = {self.min_version, self.max_version} & {"TLS 1.0", "TLS 1.1"}
        ciphers = self.ciphers or ("DEFAULT:@SECLEVEL=0" if old else None)
        if ciphers:
            context.set_ciphers(ciphers)

    def context(self, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """A new TLS context that does what the settings say and offers `alpn`; OSError when a file cannot be used."""
        context = telling(ssl.create_default_context(cafile=self.ca_file))
        if self.ca_file:
            # Whoever is named in it is trusted, not only one who signed himself.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if alpn:
            context.set_alpn_protocols(alpn)
        self._narrow(context)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


def context_for(settings: TlsClient, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """The context of these settings, shared by all who have the same; a file that has changed is read again."""
    return Contexts(settings, alpn)()


class Contexts:
    """Gives the context of settings to a probe, run after run; while their files are as they were, the one of before.

    To look it up among those that are shared compares settings with one another, field by field.
    """

    __slots__ = ("_alpn", "_context", "_files", "_settings", "_stamps")

    def __init__(self, settings: TlsClient, alpn: tuple[str, ...] = ()) -> None:
        self._settings, self._alpn = settings, alpn
        self._files = [file for file in (settings.ca_file, settings.cert_file, settings.key_file) if file]
        self._stamps: tuple[Stamp, ...] = ()
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> ssl.SSLContext:
        """The context; OSError or ssl.SSLError when there never was a good one."""
        if self._context is not None and self._stamps == self._stamps_now():
            WATCHED.good(self._files)
            return self._context
        self._context = None
        return last_good((self._settings, self._alpn), self._files, self._made)

    def _made(self) -> ssl.SSLContext:
        stamps = tuple([stamp_of(file) for file in self._files])
        context = _shared(self._settings, self._alpn, stamps)
        # One that cannot be made now is tried again each time, and what is bad is said.
        self._stamps, self._context = stamps, context
        return context

    def _stamps_now(self) -> tuple[Stamp, ...] | None:
        try:
            return tuple([stamp_of(file) for file in self._files])
        except OSError:
            return None


def last_good(key: Hashable, files: list[Path], make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The context that `make` gives of these files; while they cannot be used the last good one of this key."""
    try:
        context = make()
    except (OSError, ssl.SSLError) as error:
        # Gone for a moment, half replaced, emptied: the last good one goes on, and it is said.
        if key not in _LAST_GOOD:
            raise
        WATCHED.bad(_blamed(files), str(error))
        return _LAST_GOOD[key]
    if files:
        WATCHED.good(files)
        _LAST_GOOD[key] = context
        while len(_LAST_GOOD) > _MOST_KEPT:
            del _LAST_GOOD[next(iter(_LAST_GOOD))]
    return context


def _blamed(files: list[Path]) -> list[Path]:
    """The files that are not there or are empty; all of them when it is their content."""
    missing = [file for file in files if not file.is_file() or not file.stat().st_size]
    return missing or files


_MOST_KEPT = 1024
_LAST_GOOD: dict[Hashable, ssl.SSLContext] = {}


@lru_cache(maxsize=256)
def _shared(settings: TlsClient, alpn: tuple[str, ...], _changed: tuple[Stamp, ...]) -> ssl.SSLContext:
    return settings.context(alpn)
