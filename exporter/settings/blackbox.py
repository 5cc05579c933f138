"""Modules written for blackbox_exporter: those of its fields that mean exactly what fields of ours mean.

docs/exporter/probe.md has the table; whatever is not in it is refused, so that no module is weaker than it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COMMON = {"prober", "timeout"}
_PLAIN = ("method", "headers", "body", "bearer_token", "bearer_token_file", "ip_protocol_fallback", "compression")
_TLS = ("ca_file", "cert_file", "key_file", "server_name")
_HTTP = {
    *_PLAIN,
    "valid_status_codes",
    "preferred_ip_protocol",
    "follow_redirects",
    "no_follow_redirects",
    "fail_if_body_not_matches_regexp",
    "basic_auth",
    "tls_config",
}


def translated(module: Mapping[str, Any]) -> dict[str, Any]:
    """The module in our words; ValueError names what has no exact counterpart."""
    prober = module["prober"]
    if prober != "http":
        raise ValueError(f"prober: {prober}: only blackbox's http modules are read; write kind: {prober} instead")
    given = module.get("http") or {}
    own = {key: value for key, value in module.items() if key not in {*_COMMON, "http"}}
    unknown = sorted({*own} - {"targets"}) + sorted(f"http.{key}" for key in given if key not in _HTTP)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no exact counterpart; write the module with kind: http instead")
    out: dict[str, Any] = {"kind": "http", **own}
    if "timeout" in module:
        out["timeout"] = module["timeout"]
    out |= {key: given[key] for key in _PLAIN if key in given}
    # Blackbox tries IPv6 first.
    out["preferred_ip_protocol"] = given.get("preferred_ip_protocol", "ip6")
    if given.get("follow_redirects") is False or given.get("no_follow_redirects") is True:
        out["redirects"] = 0
    out |= _basic_auth(given.get("basic_auth") or {}) | _tls(given.get("tls_config") or {})
    expect = _expect(given)
    return out | ({"expect": expect} if expect else {})


def _expect(given: Mapping[str, Any]) -> dict[str, Any]:
    expect: dict[str, Any] = {}
    if given.get("valid_status_codes"):
        expect["status"] = given["valid_status_codes"]
    patterns = given.get("fail_if_body_not_matches_regexp") or []
    if len(patterns) > 1:
        raise ValueError("fail_if_body_not_matches_regexp: only one is read; write the module with kind: http instead")
    if patterns:
        expect["body"] = patterns[0]
    return expect


def _basic_auth(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in ("username", "password", "password_file") if key in given}


def _tls(given: Mapping[str, Any]) -> dict[str, Any]:
    if not given:
        return {}
    unknown = sorted(given.keys() - {*_TLS, "insecure_skip_verify"})
    if unknown:
        raise ValueError(f"tls_config.{unknown[0]}: no exact counterpart; write the module with kind: http instead")
    tls = {key: given[key] for key in _TLS if key in given}
    return {"tls": {**tls, "verify": not given.get("insecure_skip_verify", False)}}
