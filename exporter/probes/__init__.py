"""The kinds of probe, one module each; this is the registry that config, docs and tests go by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

from pydantic import Field

from deploywatch.exporter.probes.dns import DnsSettings
from deploywatch.exporter.probes.flow import FlowSettings
from deploywatch.exporter.probes.grpc import GrpcSettings
from deploywatch.exporter.probes.http import HttpSettings
from deploywatch.exporter.probes.icmp import IcmpSettings
from deploywatch.exporter.probes.port import PortSettings
from deploywatch.exporter.probes.postgres import PostgresSettings
from deploywatch.exporter.probes.redis import RedisSettings
from deploywatch.exporter.probes.tcp import TcpSettings
from deploywatch.exporter.probes.tls import TlsSettings
from deploywatch.exporter.probes.unix import UnixSettings
from deploywatch.exporter.probing.settings import ProbeSettings

_Kinds = (
    HttpSettings
    | TcpSettings
    | TlsSettings
    | PostgresSettings
    | RedisSettings
    | FlowSettings
    | PortSettings
    | IcmpSettings
    | DnsSettings
    | GrpcSettings
    | UnixSettings
)

AnyProbe = Annotated[_Kinds, Field(discriminator="kind")]
"""A config field that holds a probe of any kind."""

KINDS: dict[str, type[ProbeSettings]] = {
    get_args(settings.model_fields["kind"].annotation)[0]: settings for settings in get_args(_Kinds)
}
"""Every kind by its name."""

_HERE = Path(__file__).parent
_PAGES = _HERE.resolve().parents[1] / "docs" / "probes"

for _module in sorted({path.stem for path in _HERE.glob("*.py")} - {"__init__"} - KINDS.keys()):
    raise TypeError(
        f"probe kind {_module}: probes/{_module}.py is not registered; add its settings to _Kinds in"
        f' probes/__init__.py, with kind: Literal["{_module}"]'
    )

for _kind, _settings in KINDS.items():
    # Pages are beside the code where it is worked on, and not where it is installed.
    if _PAGES.is_dir() and not (_PAGES / f"{_kind}.md").is_file():
        raise TypeError(
            f"probe kind {_kind}: docs/probes/{_kind}.md is missing; write the page, with an example that works, its"
            " settings, metrics and reasons"
        )
    if "target_key" not in vars(_settings):
        raise TypeError(
            f"probe kind {_kind}: {_settings.__name__} lacks target_key; write which key holds the target, and a "
            "stand-in, or None where a probe of this kind cannot be given one"
        )
