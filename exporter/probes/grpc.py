"""The `grpc` probe: what a server says of itself by gRPC's health check."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from deploywatch.exporter.measure import families
from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.connect import Place, Reach, place
from deploywatch.exporter.net.dial import connect
from deploywatch.exporter.net.grpc_health import SERVING_STATUSES, UNAVAILABLE, Health, check, code_name
from deploywatch.exporter.net.http.header_fields import HeaderName, HeaderValue
from deploywatch.exporter.net.resolve import note_address
from deploywatch.exporter.net.tls import certificates
from deploywatch.exporter.net.tls.client import TlsClient, context_for
from deploywatch.exporter.net.tls.handshake import secure
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Reason

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
# gRPC's status codes: 7 PERMISSION_DENIED, 16 UNAUTHENTICATED, 14 UNAVAILABLE, 4 DEADLINE_EXCEEDED.
_REASONS = {7: Reason.AUTH, 16: Reason.AUTH, 14: Reason.UNAVAILABLE, 4: Reason.DEADLINE}
_OURS = re.compile(r"grpc-|:|te$|content-type$|user-agent$", re.IGNORECASE)


def _server(address: str) -> str:
    server_place(address, 80)
    return address


def server_place(address: str, port: int) -> Place:
    """Read `host:port`, `host`, or either after `http://`; ValueError for anything else."""
    bare = _SCHEME.sub("", address, count=1).rstrip("/")
    try:
        return place(bare)
    except ValueError:
        try:
            return place(f"{bare}:{port}")
        except ValueError:
            raise ValueError(
                f"{address!r} is not the address of a gRPC server; write host:port, such as api.example:50051"
            ) from None


def _metadata_name(name: str) -> str:
    # gRPC sends `-bin` metadata as Base64, which text would be taken for.
    if _OURS.match(name) or name.lower().endswith("-bin"):
        raise ValueError(f"{name!r} is gRPC's own, or binary; write metadata of text under another name")
    return name


class GrpcSettings(ProbeSettings, Reach):
    """A gRPC server, and of which of its services the health is asked; of none, that of the server."""

    target_key: ClassVar[TargetKey | None] = TargetKey("address", "target.invalid:1")

    kind: Literal["grpc"]
    address: Annotated[str, AfterValidator(_server)]
    service: str = Field(default="", max_length=1000)
    use_tls: bool = False
    tls: TlsClient = TlsClient()
    metadata: dict[Annotated[HeaderName, AfterValidator(_metadata_name)], tuple[HeaderValue, ...]] = Field(
        default_factory=dict
    )

    @property
    def place(self) -> Place:
        """Host and port of the server."""
        return server_place(self.address, 443 if self.use_tls else 80)

    def server(self) -> str | None:
        """The server, with its port."""
        return f"{self.place.host}:{self.place.port}"

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur: without TLS, its failures."""
        return frozenset() if self.use_tls else frozenset({Reason.TLS, Reason.TLS_VERIFY})

    def probe(self) -> GrpcProbe:
        """The probe that does what these settings say."""
        return GrpcProbe(self)

    def with_target(self, target: str) -> Self:
        """The same question to another server."""
        return self.with_changes(address=target)


class GrpcProbe:
    """Asks for the health of a service."""

    def __init__(self, settings: GrpcSettings) -> None:
        self.settings = settings
        self.metadata = {
            name: [value.get_secret_value() for value in values] for name, values in settings.metadata.items()
        }

    async def measure(self, measurement: Measurement) -> None:
        """Ask, note what came back, and judge it."""
        # Without an answer the status is what gRPC clients say then.
        health = Health(UNAVAILABLE)
        phases = dict.fromkeys(("resolve", "check"), 0.0)
        try:
            health = await self._ask(phases, measurement)
        finally:
            for phase, seconds in phases.items():
                measurement.add(families.GRPC_DURATION, seconds, phase=phase)
            measurement.add(families.GRPC_SSL, self.settings.use_tls)
            measurement.add(families.GRPC_STATUS_CODE, health.code)
            # One series a status, as blackbox_exporter: an alert then needs no number that nobody remembers.
            for word in SERVING_STATUSES:
                measurement.add(families.GRPC_HEALTHCHECK_RESPONSE, word == health.serving, serving_status=word)
        _judge(health)

    async def _ask(self, phases: dict[str, float], measurement: Measurement) -> Health:
        settings = self.settings
        with measurement.timed("resolve", overdue=Reason.DNS) as passed:
            addresses = await settings.route(measurement).addresses(*settings.place)
        phases["resolve"] = passed()
        measurement.add(families.DNS_LOOKUP, passed())
        begin, reached = measurement.clock.monotonic(), addresses[0]
        try:
            with measurement.timed("connect", overdue=Reason.CONNECT_TIMEOUT):
                sock, reached = await connect(addresses, source=settings.source_ip_address)
            channel = Channel(sock)
            try:
                return await self._check(channel, measurement)
            finally:
                channel.close()
        finally:
            note_address(reached, measurement)
            phases["check"] = measurement.clock.monotonic() - begin

    async def _check(self, channel: Channel, measurement: Measurement) -> Health:
        settings = self.settings
        if settings.use_tls:
            with measurement.timed("tls"):
                await secure(
                    channel,
                    context_for(settings.tls, ("h2",)),
                    settings.tls.server_name or settings.place.host,
                    lambda shown: certificates.note(shown, measurement),
                )
        host, port = settings.place
        # Always with its port: some servers choose by the whole of it.
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with measurement.timed("check"):
            return await check(
                channel,
                authority=authority,
                secure=settings.use_tls,
                service=settings.service,
                metadata=self.metadata,
            )


def _judge(health: Health) -> None:
    if health.code:
        message = f": {health.message}" if health.message else ""
        reason = _REASONS.get(health.code, Reason.STATUS)
        raise Failed(reason, f"the call failed with {code_name(health.code)} ({health.code}){message}")
    if health.serving != "SERVING":
        raise Failed(Reason.UNHEALTHY, f"the server says {health.serving}")
