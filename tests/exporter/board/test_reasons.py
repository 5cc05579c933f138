"""Which failures are counted from 0: every reason that a probe's settings make possible, and no line for the others."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from deploywatch.exporter.probes import AnyProbe
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.results import Reason

_SETTINGS: TypeAdapter[ProbeSettings] = TypeAdapter(AnyProbe)
URL: dict[str, Any] = {"kind": "http", "url": "http://shop.example/"}
GAUGE = {"queue_length": {"path": "queue", "help": "L."}}


def reasons(**settings: Any) -> set[Reason]:
    return set(_SETTINGS.validate_python(settings).reasons())


def test_a_plain_request_fails_for_twelve_reasons() -> None:
    assert reasons(**URL) == {
        *(Reason.DNS, Reason.CONNECT_REFUSED, Reason.CONNECT_TIMEOUT, Reason.UNREACHABLE, Reason.RESET),
        *(Reason.TLS_VERIFY, Reason.TLS, Reason.PROTOCOL, Reason.REDIRECT, Reason.STATUS),
        *(Reason.DEADLINE, Reason.INTERNAL),
    }


@pytest.mark.parametrize(
    ("more", "possible"),
    [
        ({"expect": {"headers": {"Server": "x"}}}, {Reason.HEADER}),
        ({"expect": {"body": "x"}}, {Reason.BODY, Reason.TOO_LARGE}),
        ({"expect": {"body_not": "x"}}, {Reason.BODY, Reason.TOO_LARGE}),
        ({"compression": "gzip"}, {Reason.BODY}),
        ({"expect": {"within": "1s"}}, {Reason.LATENCY}),
        ({"expect": {"format": "json"}}, {Reason.JSON, Reason.VALUE, Reason.TOO_LARGE}),
        ({"expect": {"values": ["a == 1"]}}, {Reason.JSON, Reason.VALUE, Reason.TOO_LARGE}),
        ({"gauges": GAUGE}, {Reason.JSON, Reason.VALUE, Reason.TOO_LARGE}),
        ({"expect": {"format": "health"}}, {Reason.JSON, Reason.VALUE, Reason.TOO_LARGE, Reason.UNHEALTHY}),
    ],
)
def test_what_is_expected_can_be_missed(more: dict[str, Any], possible: set[Reason]) -> None:
    assert reasons(**URL, **more) - reasons(**URL) == possible
    step = {"name": "s", "url": URL["url"]}
    if "gauges" not in more:
        plain, asking = (
            reasons(kind="flow", steps=[step]),
            reasons(kind="flow", steps=[step, {**step, "name": "t", **more}]),
        )
        assert asking - plain == possible


def test_who_follows_no_redirects_has_only_the_urls_own_reasons() -> None:
    gone = {Reason.REDIRECT, Reason.TLS, Reason.TLS_VERIFY}
    assert reasons(**URL) - reasons(**URL, redirects=0) == gone
    assert reasons(kind="http", url="HTTPS://shop.example/", redirects=0) >= {Reason.TLS, Reason.TLS_VERIFY}


@pytest.mark.parametrize(
    ("settings", "more", "possible"),
    [
        ({"kind": "tls", "address": "x:1"}, {"valid_for": "1d"}, {Reason.EXPIRY}),
        ({"kind": "tcp", "address": "x:1"}, {"use_tls": True}, {Reason.TLS, Reason.TLS_VERIFY}),
        (
            {"kind": "tcp", "address": "x:1"},
            {"query_response": [{"expect": "x"}]},
            {Reason.BODY, Reason.TOO_LARGE, Reason.PROTOCOL},
        ),
        (
            {"kind": "redis", "url": "redis://x"},
            {"url": "rediss://x"},
            {Reason.TLS, Reason.TLS_VERIFY},
        ),
        ({"kind": "redis", "url": "redis://x"}, {"gauges": {"a": {"key": "k", "help": "H."}}}, {Reason.TOO_LARGE}),
        (
            {"kind": "postgres", "dsn": "postgresql://x"},
            {"queries": {"a": {"sql": "SELECT 1", "help": "H."}}},
            {Reason.TOO_LARGE},
        ),
    ],
)
def test_other_kinds_have_reasons_by_their_settings_too(
    settings: dict[str, Any], more: dict[str, Any], possible: set[Reason]
) -> None:
    assert reasons(**{**settings, **more}) - reasons(**settings) == possible
