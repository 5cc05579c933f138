"""blackbox_exporter's `tcp` and `unix` sections: a dialogue with a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploywatch.exporter.measure.gauges import LabelName
from deploywatch.exporter.net.pattern import Pattern
from deploywatch.exporter.settings.blackbox.parts import FromAddress, Part, TlsConfig


class Label(Part):
    """One of a turn's labels."""

    name: LabelName
    value: str = ""

    def native(self, base: Path) -> dict[str, Any]:
        """Name and value."""
        return {self.name: self.value}


class QueryResponse(Part):
    """One turn of the dialogue."""

    expect: Pattern = ""
    expect_bytes: str = ""
    labels: tuple[Label, ...] = ()
    send: str = ""
    starttls: bool = False

    def native(self, base: Path) -> dict[str, Any]:
        """Our turn."""
        out: dict[str, Any] = {
            name: getattr(self, name) for name in ("expect", "expect_bytes", "send", "starttls") if getattr(self, name)
        }
        labels = {label.name: label.value for label in self.labels}
        return out | ({"labels": labels} if labels else {})


class Dialogue(Part):
    """What both sections have."""

    query_response: tuple[QueryResponse, ...] = ()
    tls: bool = False
    tls_config: TlsConfig = TlsConfig()

    def dialogue(self, base: Path) -> dict[str, Any]:
        """In our words; a turn that says nothing is none."""
        turns = [turn for entry in self.query_response if (turn := entry.native(base))]
        return {"use_tls": self.tls, "query_response": turns, **self.tls_config.native(base)}


class Tcp(FromAddress, Dialogue):
    """The whole `tcp` section."""

    def native(self, base: Path) -> dict[str, Any]:
        """A tcp module of ours."""
        return {"kind": "tcp", **self.addresses(), **self.dialogue(base)}


class Unix(Dialogue):
    """The whole `unix` section."""

    def native(self, base: Path) -> dict[str, Any]:
        """A unix module of ours."""
        return {"kind": "unix", **self.dialogue(base)}
