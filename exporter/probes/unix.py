"""The `unix` probe: a dialogue as `tcp` has it, with a server on a socket that is a file of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator

from deploywatch.config import RelativePath
from deploywatch.exporter.measure import families
from deploywatch.exporter.net.connect import encrypt
from deploywatch.exporter.net.unix import open_unix
from deploywatch.exporter.probes.tcp import Dialogue, hold
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Reason

# Bytes that Linux has in sockaddr_un, less the one that ends it.
_LONGEST = 107
"""Bytes of a path that a socket may have (sun_path, with its end)."""


def _short_enough(path: Path) -> Path:
    if len(str(path).encode()) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} bytes, as no socket's path may be")
    return path


class UnixSettings(ProbeSettings, Dialogue):
    """A socket, and what is said there."""

    target_key: ClassVar[TargetKey | None] = TargetKey("path", "/target.invalid")

    kind: Literal["unix"]
    path: Annotated[RelativePath, AfterValidator(_short_enough)]

    def server(self) -> str | None:
        """The socket: it has room for as many as any server."""
        return f"unix:{self.path}"

    def probe(self) -> UnixProbe:
        """The probe that does what these settings say."""
        return UnixProbe(self)

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur with this dialogue."""
        return self.unsaid()

    def with_target(self, target: str) -> Self:
        """The same dialogue at another socket."""
        return self.with_changes(path=target)


class UnixProbe:
    """Connects to a socket and holds the dialogue."""

    def __init__(self, settings: UnixSettings) -> None:
        self.settings = settings

    async def measure(self, measurement: Measurement) -> None:
        """Connect and hold the dialogue."""
        settings = self.settings
        with measurement.timed("connect", overdue=Reason.CONNECT_TIMEOUT) as passed:
            channel = await open_unix(settings.path)
        measurement.add(families.TCP_DURATION, passed(), phase="connect")
        try:
            if settings.use_tls:
                # A path is no name that a certificate could bear.
                await encrypt(channel, settings.tls, settings.tls.server_name or "localhost", measurement)
            await hold(channel, settings, "localhost", measurement)
        finally:
            channel.close()
