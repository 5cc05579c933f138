"""`/probe` for strangers: however they spell loopback or a cloud's metadata, nothing there is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.settings.modules import TARGET_KEYS
from tests.exporter.support import Web

SPELLINGS = (
    # loopback
    *("127.0.0.1", "127.1", "127.0.1", "127.000.000.001", "0177.0.0.1", "0177.0.0.01", "0x7f.0.0.1", "0x7f000001"),
    *("0x7F.1", "2130706433", "017700000001", "127.255.255.254", "127.0.0.1.", "localhost", "LOCALHOST", "localhost."),
    *(
        "a.localhost",
        "0.0.0.0",
        "0",
        "0x0",
        "00000",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[0000::0001]",
        "[::1%25lo]",
    ),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:0:0:0:0:80ff:fffe]"),
    *("１２７.0.0.1", "127。0。0。1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "127.0.0.1%00.example", "example@127.0.0.1", "x:y@127.0.0.1"),
    # metadata
    *("169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200"),
    *("168.63.129.16", "[fe80::1]", "[64:ff9b::a9fe:a9fe]"),
)


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """The exporter with a module of each kind that takes a target, and the default of what is refused."""
    file = tmp_path / "exporter.yml"
    file.write_text(
        "modules:\n  web: {kind: http, timeout: 2s}\n  tcp: {kind: tcp, timeout: 2s}\n"
        "  tls: {kind: tls, timeout: 2s}\n  redis: {kind: redis, timeout: 2s}\n"
        "  postgres: {kind: postgres, timeout: 2s}\n  grpc: {kind: grpc, timeout: 2s}\n"
        "  dns: {kind: dns, query_name: a.example, transport_protocol: tcp, timeout: 2s}\n"
    )
    server = make_server(Exporter(file, config.load(file)), listen="127.0.0.1:0", web_config=None)
    async with TestServer(server.app) as running, aiohttp.ClientSession(running.make_url("/")) as session:
        yield session


def test_each_kind_that_may_be_pointed_somewhere_over_tcp_is_tried() -> None:
    assert set(TARGET_KEYS) == {"http", "tcp", "tls", "redis", "postgres", "grpc", "dns", "icmp", "unix"}


def test_there_are_more_than_forty_spellings() -> None:
    assert len(set(SPELLINGS)) > 40


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_loopback_or_metadata_is_connected_to(
    asked: aiohttp.ClientSession, web: Web, spelling: str
) -> None:
    web.say("/", "the secret of this machine")
    for module, target in (
        ("web", f"http://{spelling}:{web.port}/"),
        ("web", f"HTTP://{spelling}:{web.port}/?#@public.example/"),
        ("web", f"http://public.example:80@{spelling}:{web.port}/"),
        ("tcp", f"{spelling}:{web.port}"),
        ("tls", f"{spelling}:{web.port}"),
        ("redis", f"redis://{spelling}:{web.port}/0"),
        ("postgres", f"postgresql://{spelling}:{web.port}/"),
        ("grpc", f"{spelling}:{web.port}"),
        ("dns", f"{spelling}:{web.port}"),
    ):
        async with asked.get("/probe", params={"module": module, "target": target, "debug": "true"}) as answer:
            text = await answer.text()
        assert answer.status == 400 or "probe failed" in text, (module, target, text)
        assert "the secret" not in text
    assert web.callers == []
    assert web.requests == []
