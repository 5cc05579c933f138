"""Debian's blackbox_exporter and our /probe, asked about the same targets: the same names, labels and values."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import brotli
import pytest
import trustme
from aiohttp import web as aiohttp_web

from deploywatch.demo.processes import Processes
from tests.exporter.http.parity import (
    DIFFERENCES,
    OTHERWISE_UNDECODED,
    OTHERWISE_UNFOLLOWED,
    OTHERWISE_UNTRUSTED,
    OURS_ALONE_UNTRUSTED,
    THEIRS_ALONE_UNANSWERED,
    Both,
    both_running,
    compare,
)
from tests.exporter.net.test_head import ODD, REFUSED
from tests.exporter.support import Talk, Web, silent

PAGE = Path(__file__).parents[3] / "docs" / "exporter" / "probe.md"

PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "deflate": partial(zlib.compress, wbits=-15),
}
"""How a body is compressed; blackbox_exporter's deflate is without zlib's head."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def both(processes: Processes, authority: trustme.CA, tmp_path: Path) -> AsyncIterator[Both]:
    """Both of them running; each reads the same http modules."""
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    http = {
        "http_2xx": {"prober": "http", "http": {"preferred_ip_protocol": "ip4"}},
        "no_redirects": {"prober": "http", "http": {"preferred_ip_protocol": "ip4", "follow_redirects": False}},
        "body": {
            "prober": "http",
            "http": {"preferred_ip_protocol": "ip4", "fail_if_body_not_matches_regexp": ["well"]},
        },
        **{
            f"packed_{coding}": {
                "prober": "http",
                "http": {
                    "preferred_ip_protocol": "ip4",
                    "compression": coding,
                    "fail_if_body_not_matches_regexp": ["well"],
                },
            }
            for coding in PACK
        },
        "tls": {
            "prober": "http",
            "http": {"preferred_ip_protocol": "ip4", "tls_config": {"ca_file": str(ca), "server_name": "x.example"}},
        },
    }
    tcp = {"tcp": {"prober": "tcp", "timeout": "3s", "tcp": {"preferred_ip_protocol": "ip4"}}}
    async with both_running(processes, tmp_path, http | tcp) as running:
        yield running


def test_every_difference_is_documented() -> None:
    page = PAGE.read_text()
    assert {name for name in DIFFERENCES if f"`{name}" not in page} == set()


async def test_a_good_answer(both: Both, web: Web) -> None:
    compare(
        *await both.ask(web.say("/", "hello", headers={"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}), "http_2xx")
    )


async def test_a_status_that_is_not_good(both: Both, web: Web) -> None:
    compare(*await both.ask(f"{web.url}/nothing", "http_2xx"))


async def test_a_target_without_a_scheme(both: Both, web: Web) -> None:
    web.say("/", "hello")
    compare(*await both.ask(web.url.removeprefix("http://"), "http_2xx"))


@pytest.mark.parametrize("module", ["http_2xx", "no_redirects"])
async def test_a_redirect(both: Both, web: Web, module: str) -> None:
    web.say("/there", "hello")
    answer = await both.ask(web.say("/", status=302, headers={"Location": "/there"}), module)
    compare(*answer, otherwise=OTHERWISE_UNFOLLOWED if module == "no_redirects" else ())


@pytest.mark.parametrize("text", ["all is well", "all is lost"])
async def test_a_body_that_must_match(both: Both, web: Web, text: str) -> None:
    compare(*await both.ask(web.say("/", text), "body"))


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("text", [b"all is well", b"all is lost"])
async def test_a_body_that_is_compressed(both: Both, web: Web, coding: str, text: bytes) -> None:
    theirs, ours = await both.ask(web.say("/", PACK[coding](text)), f"packed_{coding}")
    compare(theirs, ours)
    assert ours["probe_success", frozenset()] == (text == b"all is well")


@pytest.mark.parametrize("coding", PACK)
async def test_a_body_that_is_not_compressed_as_it_must_be(both: Both, web: Web, coding: str) -> None:
    theirs, ours = await both.ask(web.say("/", b"\xffall is well"), f"packed_{coding}")
    compare(theirs, ours, otherwise=OTHERWISE_UNDECODED)
    assert ours["probe_success", frozenset()] == 0


async def test_a_body_in_chunks(both: Both, web: Web) -> None:
    async def chunks(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        response = aiohttp_web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"hello")
        return response

    compare(*await both.ask(web.on("/", chunks), "http_2xx"))


@pytest.mark.parametrize("name", ["x.example", "y.example"])
async def test_tls_with_a_good_certificate_and_with_another_hosts(both: Both, authority: trustme.CA, name: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    async with Web(tls=context) as server:
        answer = await both.ask(server.say("/", "hello"), "tls")
    if name == "x.example":
        compare(*answer)
    else:
        compare(*answer, more=OURS_ALONE_UNTRUSTED, less=THEIRS_ALONE_UNANSWERED, otherwise=OTHERWISE_UNTRUSTED)


async def test_a_port_that_is_open(both: Both, tcp: Callable[[Talk], Awaitable[int]]) -> None:
    compare(*await both.ask(f"127.0.0.1:{await tcp(silent)}", "tcp"))


@pytest.mark.parametrize("module", ["http_2xx", "tcp"])
async def test_a_port_that_is_refused(both: Both, processes: Processes, module: str) -> None:
    compare(*await both.ask(f"127.0.0.1:{processes.free_port()}", module), less=THEIRS_ALONE_UNANSWERED)


async def test_a_server_that_never_answers(both: Both, tcp: Callable[[Talk], Awaitable[int]]) -> None:
    theirs, ours = await both.ask(f"127.0.0.1:{await tcp(silent)}", "http_2xx", limit="1")
    compare(theirs, ours, less=THEIRS_ALONE_UNANSWERED)
    took = ("probe_duration_seconds", frozenset[tuple[str, str]]())
    assert 0.4 < theirs[took] < 1, "blackbox_exporter's offset is half a second too"
    assert 0.4 < ours[took] < 1


@pytest.mark.parametrize("name", [*ODD, *REFUSED])
async def test_a_head_as_servers_really_write_it(both: Both, tcp: Callable[[Talk], Awaitable[int]], name: str) -> None:
    data = ODD.get(name) or REFUSED[name][0]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()

    theirs, ours = await both.ask(f"127.0.0.1:{await tcp(talk)}", "http_2xx")
    compare(theirs, ours, less=() if name in ODD else THEIRS_ALONE_UNANSWERED)
    assert ours["probe_success", frozenset()] == (name in ODD)
