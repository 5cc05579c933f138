"""The `icmp` probe: one echo request, and whether its reply comes back."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from deploywatch.exporter.measure import families
from deploywatch.exporter.net.connect import Reach
from deploywatch.exporter.net.icmp import Echo
from deploywatch.exporter.net.resolve import note_address
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Reason

_PAYLOAD = b"deploywatch exporter echo"
_HOST = re.compile(r"[^\s/@\\?#\[\]]+")


def _host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    # One colon is a port, which ICMP does not have; more are an IPv6 address.
    if not _HOST.fullmatch(bare) or (bare.count(":") == 1):
        raise ValueError(f"{text!r} is not a host; write a name or an address, without a port")
    return bare


class IcmpSettings(ProbeSettings, Reach):
    """Whom to send an echo request, and how large it is."""

    target_key: ClassVar[TargetKey | None] = TargetKey("host", "target.invalid")

    kind: Literal["icmp"]
    host: Annotated[str, AfterValidator(_host)]
    payload_size: int = Field(default=len(_PAYLOAD), ge=0, le=65_507)
    dont_fragment: bool = False
    ttl: int | None = Field(default=None, ge=1, le=255)

    def probe(self) -> IcmpProbe:
        """The probe that does what these settings say."""
        return IcmpProbe(self)

    def server(self) -> str | None:
        """None: an echo request holds no connection."""
        # No server that could be overloaded: an echo costs it nothing, and so it has no bound of runs at once.
        return None

    def with_target(self, target: str) -> Self:
        """The same request to another host."""
        return self.with_changes(host=target)


class IcmpProbe:
    """Sends one echo request."""

    def __init__(self, settings: IcmpSettings) -> None:
        self.settings = settings

    async def measure(self, measurement: Measurement) -> None:
        """Resolve, send, and wait for the reply."""
        settings = self.settings
        phases = dict.fromkeys(("resolve", "setup", "rtt"), 0.0)
        try:
            with measurement.timed("resolve", overdue=Reason.DNS) as passed:
                addresses = await settings.route(measurement).addresses(settings.host, 0)
            phases["resolve"] = passed()
            measurement.add(families.DNS_LOOKUP, passed())
            note_address(addresses[0], measurement)
            with measurement.timed("setup") as passed:
                echo = Echo(addresses[0], settings.source_ip_address, settings.ttl, settings.dont_fragment)
            phases["setup"] = passed()
            try:
                with measurement.timed("waiting for the reply", overdue=Reason.DEADLINE) as passed:
                    limit = await echo.round_trip(_payload(settings.payload_size))
                phases["rtt"] = passed()
            finally:
                echo.close()
            if limit is not None:
                measurement.add(families.ICMP_HOP_LIMIT, limit)
        finally:
            for phase, seconds in phases.items():
                measurement.add(families.ICMP_DURATION, seconds, phase=phase)


def _payload(size: int) -> bytes:
    return _PAYLOAD[:size].ljust(size, b"\0")
