"""Modules written for blackbox_exporter, read as they are: each of its keys, in words of ours that mean the same.

docs/exporter/probe.md has the table. A module with a key that has no counterpart is refused, with what to write
instead, so that none is weaker than it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import model_validator

from deploywatch.config import nearest
from deploywatch.exporter.settings.blackbox.dns import Dns
from deploywatch.exporter.settings.blackbox.grpc import Grpc
from deploywatch.exporter.settings.blackbox.http import Http
from deploywatch.exporter.settings.blackbox.icmp import Icmp
from deploywatch.exporter.settings.blackbox.parts import Keys, Part, Refused
from deploywatch.exporter.settings.blackbox.tcp import Tcp, Unix

PROBERS: Mapping[str, type[Part]] = {
    "http": Http,
    "tcp": Tcp,
    "icmp": Icmp,
    "dns": Dns,
    "grpc": Grpc,
    "unix": Unix,
}
"""What blackbox_exporter's probers are told by, each in a section of its name."""


class BlackboxModule(Keys):
    """A module as blackbox.yml has it; sections of other probers than its own are ignored there, and here.

    `targets` is ours: a module with credentials needs it.
    """

    prober: str
    timeout: Any = None
    targets: Any = None
    http: Any = None
    tcp: Any = None
    icmp: Any = None
    dns: Any = None
    grpc: Any = None
    unix: Any = None
    websocket: Refused = None

    @model_validator(mode="before")
    @classmethod
    def _known_prober(cls, data: Any) -> Any:
        prober = data.get("prober") if isinstance(data, dict) else None
        if prober == "websocket":
            raise ValueError("prober: websocket: is not there; probe the server's HTTP side with kind: http")
        if prober is not None and prober not in PROBERS:
            raise ValueError(f"prober: {prober}: is none of blackbox_exporter's{nearest(str(prober), PROBERS)}")
        return data


# `${1}` in a query_response is what an expression captured, and no variable of the environment.
def is_literal(path: tuple[str | int, ...]) -> bool:
    """Whether `${1}` at this place of a config is what an expression captured, and no variable."""
    return (
        len(path) > 3
        and path[0] == "modules"
        and path[2] in {"tcp", "unix", "websocket"}
        and path[3] == "query_response"
    )


def translated(module: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The module in our words; ValueError names what has no counterpart. Files are taken from `base`."""
    whole = BlackboxModule.model_validate(dict(module))
    given = module.get(whole.prober)
    part = PROBERS[whole.prober].model_validate({} if given is None else given, context={"base": base})
    own = {key: module[key] for key in ("timeout", "targets") if module.get(key) is not None}
    return {**part.native(base), **own}
