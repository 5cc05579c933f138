"""The `tls` probe: the certificate, its chain, the version and the cipher of a server, trusted or not."""

from __future__ import annotations

import ssl
from typing import ClassVar, Literal, Self

from pydantic import Field

from deploywatch.exporter.net.connect import AddressField, Reach, encrypt, open_channel, place
from deploywatch.exporter.net.tls.certificates import Shown, problem_of
from deploywatch.exporter.net.tls.client import TlsClient
from deploywatch.exporter.net.tls.handshake import shown_by
from deploywatch.exporter.net.tls.starttls import Protocol, beginning, start_tls
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Reason
from deploywatch.quantity import Duration, format_duration

_EXPLAINED = {
    "expired": "the certificate, or one of its chain, has expired",
    "not_yet_valid": "the certificate is not valid yet",
    "self_signed": "the certificate is signed by itself",
    "unknown_authority": "the certificate leads to no authority that is trusted",
    "hostname": "the certificate is for another host",
    "no_san": "the certificate names no host in its subjectAltName",
    "revoked": "the certificate has been revoked",
}

Version = Literal["TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"]


class TlsSettings(ProbeSettings, Reach):
    """A server that speaks TLS, at once or after `starttls`."""

    target_key: ClassVar[TargetKey | None] = TargetKey("address", "target.invalid:1")

    kind: Literal["tls"]
    address: AddressField
    starttls: Protocol | None = None
    tls: TlsClient = TlsClient()
    valid_for: Duration | None = None
    versions: tuple[Version, ...] = Field(default=("TLS 1.2", "TLS 1.3"), min_length=1)

    def probe(self) -> TlsProbe:
        """The probe that does what these settings say."""
        return TlsProbe(self)

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur: without `valid_for` nothing expires too soon; the expired is untrusted.

        Only before TLS is there a greeting that turns us away.
        """
        never = frozenset[Reason]() if self.valid_for else frozenset({Reason.EXPIRY})
        return never if self.starttls else never | {Reason.UNAVAILABLE}

    def with_target(self, target: str) -> Self:
        """The same questions to another `host:port`."""
        return self.with_changes(address=target)


class TlsProbe:
    """Performs a TLS handshake and judges what the server showed."""

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self.place = place(settings.address)

    async def measure(self, measurement: Measurement) -> None:
        """Connect, shake hands, and judge what the server showed; it is noted also when it is not trusted."""
        settings = self.settings
        channel = await open_channel(self.place, settings.route(measurement), measurement)
        try:
            if settings.starttls:
                with measurement.timed("starttls"):
                    await start_tls(channel, settings.starttls)
            begin = beginning(settings.starttls)
            shown = await encrypt(channel, settings.tls, self.place.host, measurement, begin)
        except ssl.SSLCertVerificationError as error:
            # OpenSSL names the first fault that it meets; the certificate itself says which one people should mend.
            seen = shown_by(error)
            problem = seen.problem if seen and seen.problem else problem_of(error)
            explained = _EXPLAINED.get(problem, error.verify_message)
            raise Failed(Reason.TLS_VERIFY, f"{problem}: {explained} ({error.verify_message})") from error
        finally:
            channel.close()
        self._judge(shown, measurement.clock.now())

    def _judge(self, shown: Shown, now: float) -> None:
        if shown.version not in self.settings.versions:
            raise Failed(Reason.TLS, f"the server speaks {shown.version}, not {' or '.join(self.settings.versions)}")
        expiry, least = shown.earliest_expiry, self.settings.valid_for
        # Of the whole chain: an intermediate that expires breaks it just as well.
        if least and expiry is not None and expiry - now < least.total_seconds():
            days = (expiry - now) / 86400
            raise Failed(Reason.EXPIRY, f"valid for another {days:.1f} days, less than {format_duration(least)}")
