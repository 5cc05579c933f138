"""blackbox_exporter's `icmp` section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploywatch.exporter.settings.blackbox.parts import FromAddress


class Icmp(FromAddress):
    """The whole section."""

    payload_size: int = 0
    dont_fragment: bool = False
    ttl: int | None = None

    def native(self, base: Path) -> dict[str, Any]:
        """An icmp module of ours."""
        own = {"payload_size": self.payload_size, "dont_fragment": self.dont_fragment, "ttl": self.ttl}
        return {"kind": "icmp", **self.addresses(), **{key: value for key, value in own.items() if value}}
