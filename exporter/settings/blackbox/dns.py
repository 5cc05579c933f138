"""blackbox_exporter's `dns` section."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from deploywatch.exporter.net.pattern import Pattern
from deploywatch.exporter.settings.blackbox.parts import FromAddress, Part, TlsConfig


class Validation(Part):
    """What the records of one part of the answer must match."""

    fail_if_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_all_match_regexp: tuple[Pattern, ...] = ()
    fail_if_not_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_none_matches_regexp: tuple[Pattern, ...] = ()

    def native(self, base: Path) -> dict[str, Any]:
        """Ours, which has the same keys."""
        return {name: value for name, value in self.model_dump().items() if value}


class Dns(FromAddress):
    """The whole section."""

    transport_protocol: Literal["udp", "tcp", ""] = ""
    dns_over_tls: bool = False
    tls_config: TlsConfig = TlsConfig()
    query_name: str
    query_type: str = ""
    query_class: str = ""
    recursion_desired: bool = True
    valid_rcodes: tuple[str, ...] = ()
    validate_answer_rrs: Validation = Validation()
    validate_authority_rrs: Validation = Validation()
    validate_additional_rrs: Validation = Validation()

    def native(self, base: Path) -> dict[str, Any]:
        """A dns module of ours."""
        names = ("transport_protocol", "query_name", "query_type", "query_class", "valid_rcodes")
        out: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name)}
        for name in ("validate_answer_rrs", "validate_authority_rrs", "validate_additional_rrs"):
            if rules := getattr(self, name).native(base):
                out[name] = rules
        own = {"dns_over_tls": self.dns_over_tls, "recursion_desired": self.recursion_desired}
        return {"kind": "dns", **self.addresses(), **out, **own, **self.tls_config.native(base)}
