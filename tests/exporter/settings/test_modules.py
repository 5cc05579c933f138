"""Modules: probes without a target, what they may be pointed at, and what is read of blackbox_exporter's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.config import redacted
from deploywatch.errors import ConfigError
from deploywatch.exporter import config
from deploywatch.exporter.probes import KINDS
from deploywatch.exporter.probes.http import HttpSettings
from deploywatch.exporter.settings.modules import TARGET_KEYS, Module, TargetError

Write = Callable[[str], Path]


def module(**settings: Any) -> Module:
    return Module.model_validate(settings)


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(path, variables={})
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def http(**settings: Any) -> HttpSettings:
    """The probe of a blackbox http module, pointed at a target."""
    probe = module(prober="http", http=settings).pointed_at("x.example")
    assert isinstance(probe, HttpSettings)
    return probe


def test_a_module_is_pointed_at_targets_as_blackbox_users_write_them() -> None:
    for target, url in (("x.example", "http://x.example"), ("https://x.example/a?b=c", "https://x.example/a?b=c")):
        assert redacted(module(kind="http").pointed_at(target))["url"] == url


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_pointed_at_a_target_or_says_why_not(kind: str) -> None:
    needed: dict[str, dict[str, Any]] = {"dns": {"query_name": "x.example"}, "unix": {"targets": ["/run/x.sock"]}}
    targets = {"icmp": "x.example", "unix": "/run/x.sock"}
    if kind in TARGET_KEYS:
        assert module(kind=kind, **needed.get(kind, {})).pointed_at(targets.get(kind, "x.example:1")).kind == kind
    else:
        with pytest.raises(ValueError, match=f"a {kind} probe has no single target|field required|Field required"):
            module(kind=kind)


@pytest.mark.parametrize("target", ["", "ftp://x", "http://", "http://x:port", "://"])
def test_what_is_no_target_is_told(target: str) -> None:
    with pytest.raises(TargetError):
        module(kind="http").pointed_at(target)


@pytest.mark.parametrize(
    "credential",
    [
        "kind: http, bearer_token: hush",
        "kind: http, username: ann, password: hush",
        "kind: http, headers: {Authorization: hush}",
        "kind: http, headers: {X-Api-Key: hush}",
        "kind: postgres, dsn: 'postgresql://ann:hush@x/y'",
        "kind: postgres, password: hush",
        "kind: redis, password: hush",
        "kind: redis, url: 'redis://:hush@x'",
        "prober: http, http: {bearer_token: hush}",
    ],
)
def test_a_module_with_credentials_has_to_name_its_targets(write: Write, credential: str) -> None:
    (told,) = faults(write(f"modules: {{m: {{{credential}}}}}"))
    assert "is a credential; list the targets that may be sent it" in told
    assert "hush" not in told
    config.load(write(f"modules: {{m: {{{credential}, targets: ['x.example:1']}}}}"), variables={})


@pytest.mark.parametrize("harmless", ["headers: {Accept-Language: en}", "headers: {User-Agent: probe}", "body: hello"])
def test_a_module_without_credentials_is_open(write: Write, harmless: str) -> None:
    config.load(write(f"modules: {{m: {{kind: http, {harmless}}}}}"))


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("kind: http, body: 'key=${TOKEN}'", "body"),
        ("kind: http, headers: {User-Agent: '${TOKEN}'}", "headers.User-Agent"),
        ("kind: http, method: '${VERB}'", "method"),
        ("kind: http, tls: {server_name: '${TOKEN}'}", "tls.server_name"),
        ("kind: tcp, query_response: [{send: 'AUTH ${TOKEN}'}]", "query_response.0.send"),
        ("kind: postgres, dsn: 'postgresql://x/${TOKEN}'", "dsn"),
        ("kind: postgres, queries: {a: {sql: 'SELECT ${TOKEN}', help: H.}}", "queries.a.sql"),
        ("kind: redis, key_prefix: '${TOKEN}:'", "key_prefix"),
        ("kind: redis, gauges: {a: {key: '${TOKEN}', help: H.}}", "gauges.a.key"),
        ("prober: http, http: {body: '${TOKEN}'}", "body"),
        ("prober: http, http: {headers: {Origin: 'https://${TOKEN}'}}", "headers.Origin"),
    ],
)
def test_what_came_from_a_variable_binds_its_module_to_targets(write: Write, place: str, named: str) -> None:
    variables = {"TOKEN": "hush-hush", "VERB": "PUT"}
    path = write(f"modules: {{m: {{{place}}}}}")
    with pytest.raises(ConfigError) as caught:
        config.load(path, variables=variables)
    (problem,) = caught.value.problems
    assert f"{named} has what came from a variable" in str(problem)
    assert "hush" not in str(problem)
    config.load(write(f"modules: {{m: {{{place}, targets: ['x.example:1']}}}}"), variables=variables)


@pytest.mark.parametrize(
    "place",
    [
        "kind: http, expect: {body: '${TOKEN}'}",
        "kind: http, timeout: '${TIME}'",
        "kind: http, tls: {ca_file: '/etc/ssl/certs/${FILE}'}",
        "kind: http, body: '${UNSET:-ping}'",
        "kind: tcp, query_response: [{expect: '${TOKEN}'}]",
        "kind: http, url: 'http://${TOKEN}/'",
    ],
)
def test_what_is_sent_to_nobody_binds_no_module(write: Write, place: str) -> None:
    variables = {"TOKEN": "hush-hush", "TIME": "5s", "FILE": "ca-certificates.crt"}
    config.load(write(f"modules: {{m: {{{place}}}}}"), variables=variables)


SHOP = module(kind="http", bearer_token="hush", targets=["https://shop.example", "https://shop.example:8443"])
DATABASE = module(kind="postgres", dsn="postgresql://ann:hush@stand-in/y", targets=["db.example:5432"])


@pytest.mark.parametrize("target", ["https://shop.example/a", "https://SHOP.example:443/", "https://shop.example:8443"])
def test_a_bound_module_takes_its_targets(target: str) -> None:
    assert SHOP.pointed_at(target)


@pytest.mark.parametrize(
    "target",
    [
        "http://shop.example/",
        "shop.example",
        "https://evil.example/",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
        "https://evil.example#@shop.example/",
        "https://evil.example\\@shop.example/",
        "https://shop.example:444/",
        "https://shop.example,evil.example/",
        "https://shop.example:port/",
    ],
)
def test_a_bound_module_takes_no_other(target: str) -> None:
    with pytest.raises(TargetError):
        SHOP.pointed_at(target)


def test_a_bound_database_is_named_by_host_and_port() -> None:
    probe = DATABASE.pointed_at("db.example:5432")
    assert redacted(probe)["dsn"] == "postgresql://ann:***@db.example:5432/y"
    for target in ("db.example", "db.example:5433", "evil:5432", "postgresql://db.example:5432/z", "db.example:5432/z"):
        with pytest.raises(TargetError):
            DATABASE.pointed_at(target)


@given(
    st.text(min_size=1, max_size=60) | st.from_regex(r"https?://[a-z@:/#?\\.]{0,30}shop\.example[a-z@:/#?\\.]{0,20}")
)
def test_nothing_that_a_caller_writes_sends_the_token_elsewhere(target: str) -> None:
    try:
        probe = SHOP.pointed_at(target)
    except TargetError:
        return
    assert isinstance(probe, HttpSettings)
    request = probe.probe().request
    assert (request.url.scheme, request.url.host) == ("https", "shop.example")
    assert request.url.port in {443, 8443}


def test_a_module_of_blackbox_is_read() -> None:
    probe = http(
        method="POST",
        valid_status_codes=[200, 204],
        headers={"Accept": "text/plain"},
        body="hello",
        fail_if_body_not_matches_regexp=["well"],
        follow_redirects=False,
        preferred_ip_protocol="ip4",
        ip_protocol_fallback=False,
        tls_config={"insecure_skip_verify": True, "server_name": "y.example"},
    )
    assert (probe.method, probe.body, probe.redirects, probe.preferred_ip_protocol) == ("POST", "hello", 0, "ip4")
    assert (probe.expect.status, probe.expect.body) == (("200", "204"), ("well",))
    assert (probe.tls.verify, probe.tls.server_name, probe.ip_protocol_fallback) == (False, "y.example", False)


def test_the_defaults_of_blackbox_are_kept() -> None:
    probe = http()
    assert (probe.expect.status, probe.preferred_ip_protocol, probe.redirects, probe.tls.verify) == (
        ("2xx",),
        "ip6",
        10,
        True,
    )
    assert module(prober="http", timeout="5s").timeout.total_seconds() == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: nonsense", "unknown kind 'nonsense'"),
        ("kind: http, timeout: 0s", "timeout must be more than 0s"),
        ("kind: redis, targets: ['redis://x:1']", "write host:port alone"),
        ("kind: http, expect: {status: [600]}", "expect.status[0]: '600' is neither"),
    ],
)
def test_a_fault_of_a_module_says_what_to_do(write: Write, text: str, message: str) -> None:
    told = faults(write(f"modules: {{m: {{{text}}}}}"))
    assert any(message in fault for fault in told), told
