"""Certificates for tests: good, expired, not yet valid, self-signed and for another host, with their authority."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certs:
    """An authority, and server contexts with certificates of its and others."""

    authority: trustme.CA
    folder: Path

    @property
    def ca_file(self) -> str:
        """The authority's certificate as a file."""
        path = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return str(path)

    def server(self, *names: str, **options: Any) -> ssl.SSLContext:
        """A server's context for these names, 127.0.0.1 when none is given; `not_after` makes it expire then."""
        issued = self.authority.issue_cert(*(names or ("127.0.0.1", "localhost")), **options)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context

    def expired(self) -> ssl.SSLContext:
        """A server whose certificate was good until yesterday."""
        return self.server(
            not_before=datetime.now(UTC) - timedelta(days=9), not_after=datetime.now(UTC) - timedelta(days=1)
        )

    def not_yet_valid(self) -> ssl.SSLContext:
        """A server whose certificate will be good from tomorrow."""
        now = datetime.now(UTC)
        return self.server(not_before=now + timedelta(days=1), not_after=now + timedelta(days=9))

    def without_names(self, common_name: str = "localhost") -> ssl.SSLContext:
        """A server whose certificate bears a common name and no subjectAltName, as of old, and is its own authority.

        It stands in `unnamed.pem`, to be trusted.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        path = self.folder / "unnamed.pem"
        own = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + own)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def self_signed(self) -> ssl.SSLContext:
        """A server that vouches for itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "alone"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop")]
        )
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 0xC0FFEE)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("shop.example")]), False
            )
            .sign(key, hashes.SHA256())
        )
        path = self.folder / "self-signed.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context
