"""blackbox_exporter's `grpc` section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from deploywatch.exporter.settings.blackbox.parts import Reached, TlsConfig


class Grpc(Reached):
    """The whole section."""

    service: str = ""
    tls: bool = False
    tls_config: TlsConfig = TlsConfig()
    metadata: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def native(self, base: Path) -> dict[str, Any]:
        """A grpc module of ours."""
        own = {"metadata": {name: list(values) for name, values in self.metadata.items()}} if self.metadata else {}
        return {
            "kind": "grpc",
            **self.addresses(),
            "service": self.service,
            "use_tls": self.tls,
            **own,
            **self.tls_config.native(base),
        }
