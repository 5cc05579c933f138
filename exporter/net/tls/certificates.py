"""What a TLS connection showed: version, cipher, the certificates served and those that led to a trusted authority."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from deploywatch.exporter.measure import families
from deploywatch.exporter.probing.measurement import Measurement

Problem = Literal[
    "expired", "not_yet_valid", "self_signed", "unknown_authority", "hostname", "no_san", "revoked", "other"
]
"""Why a certificate is not trusted, in a word that may be a label; `no_san` is one that names no host as it must."""

# A certificate's names are the server's choice, and become label values.
LABEL_LIMIT = 256

# More than the targets of one process: of fewer, each would be forgotten before its turn came again.
_KEPT = 32_768

UNKNOWN = "unknown"
"""The version of a connection whose handshake did not come so far."""

_DER = 2  # _ssl.ENCODING_DER
_VERSIONS = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
# X509_V_ERR_* of openssl/x509_vfy.h.
_PROBLEMS: dict[int, Problem] = {
    2: "unknown_authority",
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "unknown_authority",
    20: "unknown_authority",
    21: "unknown_authority",
    23: "revoked",
    27: "unknown_authority",
    62: "hostname",
    64: "hostname",
}
_SUITE = re.compile(r"(?:(?P<exchange>ECDHE|DHE)-(?P<auth>RSA|ECDSA|DSS)-)?(?P<cipher>.+?)(?:-(?P<digest>SHA\d*))?")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as far as it is shown; times are Unix time, names as in RFC 4514.

    It is `named` when its subjectAltName has the name or the address of a host.
    """

    not_after: float
    subject: str
    issuer: str
    names: tuple[str, ...]
    named: bool
    serial: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server showed in its handshake, a failed one included; `verified` is empty when it is not trusted."""

    version: str
    cipher: str
    served: tuple[Certificate, ...]
    verified: tuple[Certificate, ...]
    problem: Problem | None = None

    @property
    def earliest_expiry(self) -> float | None:
        """When the first of the certificates served expires."""
        return min((certificate.not_after for certificate in self.served), default=None)

    @property
    def chain_expiry(self) -> float | None:
        """When the first of the certificates that led to a trusted authority expires."""
        return min((certificate.not_after for certificate in self.verified), default=None)


def shown(tls: ssl.SSLObject, error: ssl.SSLError | None = None) -> Shown:
    """What the server of a connection showed, after the handshake or after the `error` that ended it."""
    trusted = error is None and tls.context.verify_mode != ssl.CERT_NONE
    cipher = tls.cipher()
    served = _read_all(_chain(tls, "unverified"))
    problem = problem_of(error) if isinstance(error, ssl.SSLCertVerificationError) else None
    if problem == "hostname" and served and not served[0].named:
        problem = "no_san"
    return Shown(
        version=_VERSIONS.get(tls.version() or "", UNKNOWN),
        cipher=suite(cipher[0]) if cipher else "",
        served=served,
        verified=_read_all(_chain(tls, "verified")) if trusted else (),
        problem=problem,
    )


def certificate_name(name: str) -> str:
    """The name as certificates have it: without the dot that ends an absolute name, and without an address's zone."""
    return (name.partition("%")[0] if ":" in name else name).removesuffix(".")


def note(seen: Shown, measurement: Measurement) -> None:
    """Add what a server showed to `found`; a certificate that is not trusted has its expiry too."""
    if seen.earliest_expiry is not None:
        measurement.add(families.SSL_EXPIRY, seen.earliest_expiry)
    if seen.chain_expiry is not None:
        measurement.add(families.SSL_CHAIN_EXPIRY, seen.chain_expiry)
    if seen.served:
        measurement.add(families.SSL_CHAIN_INFO, 1, **_labels(seen.served[0]))
    if seen.cipher:
        measurement.add(families.TLS_VERSION, 1, version=seen.version)
        measurement.add(families.TLS_CIPHER, 1, cipher=seen.cipher)
    if seen.problem:
        measurement.add(families.TLS_VERIFY_FAILURE, 1, problem=seen.problem)


@lru_cache(maxsize=_KEPT)
def _labels(certificate: Certificate) -> dict[str, str]:
    labels = {
        "fingerprint_sha256": certificate.fingerprint,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "subjectalternative": ",".join(certificate.names),
        "serialnumber": certificate.serial,
    }
    return {name: value[:LABEL_LIMIT] for name, value in labels.items()}


def problem_of(error: ssl.SSLCertVerificationError) -> Problem:
    """The word for what is wrong with a certificate."""
    return _PROBLEMS.get(getattr(error, "verify_code", 0), "other")


@lru_cache(maxsize=256)
def suite(name: str) -> str:
    """The name in IANA's registry of a cipher suite that OpenSSL names: `ECDHE-RSA-AES128-GCM-SHA256`."""
    match = _SUITE.fullmatch(name)
    if name.startswith("TLS_") or match is None:
        return name
    cipher = match["cipher"].replace("AES128", "AES_128").replace("AES256", "AES_256").replace("-", "_")
    if cipher in {"AES_128", "AES_256"}:
        cipher += "_CBC"
    if cipher == "CHACHA20_POLY1305":
        return f"TLS_{match['exchange']}_{match['auth']}_WITH_{cipher}_SHA256"
    key = f"{match['exchange']}_{match['auth']}" if match["exchange"] else "RSA"
    return f"TLS_{key}_WITH_{cipher}" + (f"_{match['digest']}" if match["digest"] else "")


def _chain(tls: ssl.SSLObject, kind: Literal["unverified", "verified"]) -> Iterable[bytes]:
    """The certificates in DER; public in Python 3.13, and below since 3.10."""
    read: Any = getattr(tls, f"get_{kind}_chain", None)
    if read is not None:
        return [bytes(der) for der in read() or ()]
    read = getattr(getattr(tls, "_sslobj", None), f"get_{kind}_chain", None)
    return [der.public_bytes(_DER) for der in read() or ()] if read else []


def _read_all(chain: Iterable[bytes]) -> tuple[Certificate, ...]:
    return tuple(certificate for der in chain if (certificate := _read(der)))


@lru_cache(maxsize=_KEPT)
def _read(der: bytes) -> Certificate | None:
    try:
        certificate = x509.load_der_x509_certificate(der)
        names, addresses = _names(certificate)
        return Certificate(
            not_after=certificate.not_valid_after_utc.timestamp(),
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            names=names,
            named=bool(names or addresses),
            serial=f"{certificate.serial_number:x}",
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        )
    except (ValueError, x509.InvalidVersion):
        # One that OpenSSL takes and this does not: it is not shown.
        return None


def _names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of hosts in its subjectAltName, and the addresses."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return (), ()
    addresses = tuple(str(address) for address in extension.value.get_values_for_type(x509.IPAddress))
    return tuple(extension.value.get_values_for_type(x509.DNSName)), addresses
