"""The kinds of probe, one module each; this is the registry that config, docs and tests go by."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from deploywatch.exporter.probes.flow import FlowSettings
from deploywatch.exporter.probes.http import HttpSettings
from deploywatch.exporter.probes.port import PortSettings
from deploywatch.exporter.probes.postgres import PostgresSettings
from deploywatch.exporter.probes.redis import RedisSettings
from deploywatch.exporter.probes.tcp import TcpSettings
from deploywatch.exporter.probes.tls import TlsSettings
from deploywatch.exporter.probing import ProbeSettings

_Kinds = HttpSettings | TcpSettings | TlsSettings | PostgresSettings | RedisSettings | FlowSettings | PortSettings

AnyProbe = Annotated[_Kinds, Field(discriminator="kind")]
"""A config field that holds a probe of any kind."""

KINDS: dict[str, type[ProbeSettings]] = {
    get_args(settings.model_fields["kind"].annotation)[0]: settings for settings in get_args(_Kinds)
}
"""Every kind by its name."""

for _kind, _settings in KINDS.items():
    if "target_key" not in vars(_settings):
        raise TypeError(
            f"probe kind {_kind}: {_settings.__name__} lacks target_key; write which key holds the target, and a "
            "stand-in, or None where a probe of this kind cannot be given one"
        )
