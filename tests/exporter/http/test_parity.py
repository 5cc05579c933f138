"""Debian's blackbox_exporter and our /probe, asked about the same targets: the same names, labels and values."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import brotli
import pytest
import trustme
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import python_part
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from tests.exporter.net.test_head import ODD, REFUSED
from tests.exporter.support import Talk, Web, silent

PAGE = Path(__file__).parents[3] / "docs" / "exporter" / "probe.md"

PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "deflate": partial(zlib.compress, wbits=-15),
}
"""How a body is compressed; blackbox_exporter's deflate is without zlib's head."""

OURS_ALONE = {
    "probe_failure_info",
    "probe_ssl_last_chain_info",
    "probe_tcp_duration_seconds",
    "probe_tls_cipher_info",
}
"""What Debian's blackbox_exporter does not have."""

OURS_ALONE_UNTRUSTED = {"probe_ssl_earliest_cert_expiry", "probe_tls_verify_failure_info", "probe_tls_version_info"}
"""What we tell also of a certificate that is not trusted."""

THEIRS_ALONE_UNANSWERED = {
    "probe_failed_due_to_regex",
    "probe_http_content_length",
    "probe_http_uncompressed_body_length",
    "probe_http_version",
}
"""What is 0 there, and absent here, when no answer came."""

OTHERWISE_UNFOLLOWED = {"probe_http_redirects"}
"""What is 1 there and 0 here when a redirect is answered and not followed."""

OTHERWISE_UNTRUSTED = {"probe_http_ssl"}
"""What is 0 there and 1 here when TLS was begun and the certificate is not trusted."""

OTHERWISE_UNDECODED = {"probe_failed_due_to_regex"}
"""What is 1 there and 0 here when a body that must match cannot be decoded as br or deflate."""

THEIRS_NEWER = {"probe_failed_due_to_bytes"}
"""What later releases of blackbox_exporter have alone."""

NEWER_LABELS = {"serialnumber"}
"""Labels that later releases of blackbox_exporter have too."""

DIFFERENCES = OURS_ALONE | OURS_ALONE_UNTRUSTED | THEIRS_ALONE_UNANSWERED | OTHERWISE_UNFOLLOWED
DIFFERENCES |= OTHERWISE_UNTRUSTED | OTHERWISE_UNDECODED | THEIRS_NEWER | NEWER_LABELS

TIMES = ("_seconds",)
"""Names that end so are durations: they are never the same twice."""

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Both:
    """The two exporters, with the same modules."""

    blackbox: str
    ours: str

    async def ask(self, target: str, module: str, limit: str = "3") -> tuple[dict[Series, float], dict[Series, float]]:
        """What each measured: theirs, ours."""
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": limit}
        found = []
        async with aiohttp.ClientSession(headers=headers) as session:
            for url in (self.blackbox, self.ours):
                async with session.get(f"{url}/probe", params={"target": target, "module": module}) as response:
                    assert response.status == 200, await response.text()
                    families = text_string_to_metric_families(await response.text())
                    samples = [sample for family in families for sample in family.samples]
                    found.append(
                        {
                            (
                                s.name,
                                frozenset(label for label in s.labels.items() if label[0] not in NEWER_LABELS),
                            ): s.value
                            for s in samples
                        }
                    )
        return found[0], found[1]


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
    theirs, own = tmp_path / "blackbox.yml", tmp_path / "exporter.yml"
    theirs.write_text(json.dumps({"modules": http | tcp}))
    own.write_text(
        json.dumps(
            {
                "probe": {"allow": ["127.0.0.0/8"]},
                "modules": {**http, "tcp": {"kind": "tcp", "preferred_ip_protocol": "ip4"}},
            }
        )
    )
    program, port = shutil.which("prometheus-blackbox-exporter"), processes.free_port()
    assert program, "prometheus-blackbox-exporter is not on the PATH; scripts/test installs it"
    command = [program, f"--config.file={theirs}", f"--web.listen-address=127.0.0.1:{port}"]
    blackbox = await asyncio.to_thread(python_part, processes, "blackbox", command, port=port, ready="/-/healthy")
    running = Exporter(own, config.load(own))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        yield Both(blackbox.url, str(client.make_url("")).rstrip("/"))
    await asyncio.to_thread(blackbox.child.stop)


def compare(
    theirs: dict[Series, float],
    ours: dict[Series, float],
    *,
    more: Collection[str] = (),
    less: Collection[str] = (),
    otherwise: Collection[str] = (),
) -> None:
    """Names and labels are the same, and values too where they are no times, but for what the documentation lists."""
    assert {s for s in ours.keys() - theirs.keys() if s[0] not in {*OURS_ALONE, *more}} == set()
    assert {s for s in theirs.keys() - ours.keys() if s[0] not in {*THEIRS_NEWER, *less}} == set()
    for series in ours.keys() & theirs.keys():
        if series[0] in otherwise:
            continue
        if series[0].endswith(TIMES) and not series[0].endswith("timestamp_seconds"):
            assert abs(ours[series] - theirs[series]) < 1, series
        else:
            assert ours[series] == theirs[series], series


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
    found = await both.ask(web.say("/", status=302, headers={"Location": "/there"}), module)
    compare(*found, otherwise=OTHERWISE_UNFOLLOWED if module == "no_redirects" else ())


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
        found = await both.ask(server.say("/", "hello"), "tls")
    if name == "x.example":
        compare(*found)
    else:
        compare(*found, more=OURS_ALONE_UNTRUSTED, less=THEIRS_ALONE_UNANSWERED, otherwise=OTHERWISE_UNTRUSTED)


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
