"""TLS as a PostgreSQL URL's parameters ask for it, from files that may be gone for a moment."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploywatch.exporter.net.tls.client import last_good
from deploywatch.exporter.net.tls.handshake import telling

_MODES = ("require", "verify-ca", "verify-full")
_VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


@dataclass(frozen=True, slots=True)
class DsnTls:
    """What `sslmode` and its files say, where TLS is a must and the authority's file is named."""

    mode: str
    root: str
    certificate: str | None
    key: str | None
    crl: str | None
    password: str | None
    lowest: str | None
    highest: str | None

    def context(self) -> ssl.SSLContext:
        """The context of the files as they are, or of the last that were good."""
        named = (self.root, self.certificate, self.key, self.crl)
        return last_good(("dsn", self), [Path(name) for name in named if name], self._made)

    def _made(self) -> ssl.SSLContext:
        context = telling(ssl.create_default_context(cafile=self.root))
        # `verify-ca` trusts the authority and any name, as libpq has it.
        context.check_hostname = self.mode == "verify-full"
        if self.crl:
            context.load_verify_locations(cafile=self.crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key, password=self.password)
        if self.lowest:
            context.minimum_version = _VERSIONS[self.lowest]
        if self.highest:
            context.maximum_version = _VERSIONS[self.highest]
        return context


def dsn_tls(given: Mapping[str, str]) -> DsnTls | None:
    """What the parameters of a URL say; None where it is the library's affair."""
    mode, root = given.get("sslmode"), given.get("sslrootcert")
    # Only where the server must be who it says: a renewed authority's file then has to be read anew, which asyncpg does
    # not do.
    if not root or mode not in _MODES:
        return None
    return DsnTls(
        mode=mode,
        root=root,
        certificate=given.get("sslcert") or None,
        key=given.get("sslkey") or None,
        crl=given.get("sslcrl") or None,
        password=given.get("sslpassword"),
        lowest=given.get("ssl_min_protocol_version"),
        highest=given.get("ssl_max_protocol_version"),
    )
