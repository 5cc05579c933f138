"""What hostile services say to probes, in the exporter's pages, metrics, logs, and every form of a check."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import aiohttp
import pytest
import trustme
from aiohttp.test_utils import TestServer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from deploywatch import logs
from deploywatch.clock import SystemClock
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.check import Checked, all_targets, check
from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.http.landing_rows import MOST_ROWS
from deploywatch.exporter.reports import FORMATS, junit, plain, table
from deploywatch.terminal import clean
from tests.exporter.support import Tcp, eventually
from tests.hostile.texts import TEXTS, assert_page, assert_text
from tests.support.browser import new_page

PROBE_PAGE = "/probes/{service}/{environment}/{probe}"
HTML = frozenset({"/", "/wall", "/services", PROBE_PAGE, "/results/{number}"})
# JSON, YAML, a stream of numbers, or words of our own alone.
NO_HTML = frozenset(
    {
        *("/-/healthy", "/-/ready", "/-/reload", "/config", "/live", "/metrics", "/probe"),
        *("/health", "/health/database", "/health/integrations", "/health/live", "/health/ready", "/health/redis"),
        "/health/services/{service}",
    }
)


@dataclass(frozen=True)
class Ground:
    """Hostile services, and the configuration that probes them."""

    file: Path
    config: ExporterSettings


def _on_one_line(text: str) -> bytes:
    """The text as a protocol's line can carry it."""
    return text.replace("\r", " ").replace("\n", " ")[:8000].encode("utf-8", "surrogatepass")


def _answer(text: str, body: bytes) -> bytes:
    line = _on_one_line(text)
    head = b"HTTP/1.1 500 " + line + b"\r\nX-Hostile: " + line + b"\r\nContent-Type: " + line
    return head + b"\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


def _health(text: str) -> bytes:
    checks = {text: {"status": text, "message": text, "error": text}, "db": {"status": "down", "error": text}}
    body = {"status": text, "version": text, "service": text, "environment": text, "checks": checks, "n": {text: 7}}
    return json.dumps(body).encode()


def _denying(text: str) -> Tcp:
    """Speaks PostgreSQL, and lets nobody in, with the text in each field that people read."""
    said = text.replace("\0", " ").encode("utf-8", "replace")[:8000]
    fields = b"".join(
        kind + value + b"\0"
        for kind, value in (
            (b"S", b"FATAL"),
            (b"V", b"FATAL"),
            (b"C", b"28000"),
            (b"M", said),
            (b"D", said),
            (b"H", said),
            (b"R", said),
        )
    )

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
        writer.write(b"E" + (len(fields) + 5).to_bytes(4) + fields + b"\0")
        await writer.drain()

    return Tcp(talk)


async def _silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Says nothing after the handshake."""


def _certified(text: str) -> ssl.SSLContext:
    """A certificate of nobody's, whose names are the text."""
    name = text.replace("\0", " ").encode("utf-8", "replace").decode()[:60]
    authority = trustme.CA(organization_name=name, organization_unit_name=name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example", common_name=name, organization_name=name).configure_cert(context)
    return context


def _serving(sent: bytes, *, first: bool) -> Tcp:
    """Says the same to everybody; `first` without being asked."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while first or await reader.read(4096):
            writer.write(sent)
            await writer.drain()
            if first or not sent.startswith(b"-"):
                return

    return Tcp(talk)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """One service a text; its probes find it hostile by each way in which they can be told something."""
    services = {}
    async with AsyncExitStack() as stack:
        for number, text in enumerate(TEXTS.values()):
            line = _on_one_line(text)
            answers = {
                "status": _serving(_answer(text, text.encode("utf-8", "surrogatepass")), first=False),
                "health": _serving(_answer("", _health(text)), first=False),
                "elsewhere": _serving(
                    b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/" + line + b"\r\n\r\n", first=False
                ),
                "nonsense": _serving(line, first=False),
                "redis": _serving(b"-ERR " + line + b"\r\n", first=False),
                "banner": _serving(b"220 " + line + b"\r\n", first=True),
                "postgres": _denying(text),
                "tls": Tcp(_silent, tls=_certified(text)),
            }
            ports = {name: await stack.enter_async_context(server) for name, server in answers.items()}
            base = {name: f"http://127.0.0.1:{port}/" for name, port in ports.items()}
            turn = {"expect": "^220 (?P<word>.*)", "labels": {"word": "$word"}}
            gauges = {"n_by_name": {"path": "n.*", "label": "name", "help": "n."}}
            services[f"s{number}"] = {
                "probes": {
                    "status": {"kind": "http", "url": base["status"]},
                    "body": {"kind": "http", "url": base["status"], "expect": {"status": [500], "body": "never there"}},
                    "header": {"kind": "http", "url": base["status"], "expect": {"headers": {"X-Hostile": "^never$"}}},
                    "health": {"kind": "http", "url": base["health"], "expect": {"format": "health"}, "gauges": gauges},
                    "value": {
                        "kind": "http",
                        "url": base["health"],
                        "expect": {"status": [500], "values": ["version == 1"]},
                    },
                    "elsewhere": {"kind": "http", "url": base["elsewhere"]},
                    "nonsense": {"kind": "http", "url": base["nonsense"]},
                    "redis": {"kind": "redis", "url": f"redis://127.0.0.1:{ports['redis']}"},
                    "postgres": {
                        "kind": "postgres",
                        "dsn": f"postgresql://probe@127.0.0.1:{ports['postgres']}/shop?sslmode=disable",
                    },
                    "tls": {"kind": "tls", "address": f"127.0.0.1:{ports['tls']}"},
                    "banner": {
                        "kind": "tcp",
                        "address": f"127.0.0.1:{ports['banner']}",
                        "query_response": [turn, {"expect": "^250"}],
                    },
                    "flow": {
                        "kind": "flow",
                        "steps": [{"name": "one", "url": base["value" if "value" in base else "health"]}],
                    },
                }
            }
        path = tmp_path / "exporter.yml"
        whole = {
            "services": services,
            "environment": "test",
            "probe": {"allow": ["127.0.0.0/8"]},
            "modules": {"web": {"kind": "http"}},
        }
        path.write_text(json.dumps(whole))
        yield Ground(path, config.load(path))


async def _checked(ground: Ground) -> Checked:
    return await check(all_targets(ground.config), ground.config, clock=SystemClock(), done=lambda _: None)


async def test_each_form_of_a_check_is_text(ground: Ground) -> None:
    checked = await _checked(ground)
    assert len(checked.probes) == 12 * len(TEXTS)
    console = Console(file=io.StringIO(), width=200)
    table.show(checked, console)
    assert isinstance(console.file, io.StringIO)
    assert_text(console.file.getvalue())
    shown = plain.text(checked)
    assert_text(shown)
    assert len(json.loads(shown)["services"]) == len(TEXTS)
    for text in (junit.text(checked), clean(junit.text(checked))):
        root = ElementTree.fromstring(text.encode())  # noqa: S314 - of our own making
        assert {part.tag for part in root.iter()} <= {"testsuites", "testsuite", "testcase", "failure", "skipped"}
        assert {name for part in root.iter() for name in part.attrib} <= {
            *("name", "tests", "failures", "errors", "skipped", "time", "timestamp", "classname", "type", "message")
        }
        assert root.get("tests") == str(len(checked.probes))
    assert_text(clean(junit.text(checked)))
    assert set(FORMATS) == {"table", "json", "junit"}


async def test_each_page_and_answer_of_the_exporter_is_text(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="debug")
    running = Exporter(ground.file, ground.config)
    app = make_server(running, listen=":0", web_config=None).app
    async with TestServer(app) as server:
        await eventually(lambda: running.not_ready() is None)
        url = str(server.make_url("/")).rstrip("/")
        numbers = [entry.number for entry in running.board.history.failures()]
        assert len(numbers) > len(TEXTS)
        names = list(ground.config.services["s0"].probes)
        probes = [f"/probes/s{number}/test/{name}" for number in range(len(TEXTS)) for name in names]
        pages = ["/", "/?service=<script>pwned=1</script>&status=\u202e", "/wall", "/services", *probes]
        pages += [f"/results/{number}" for number in numbers]
        routes = {resource.canonical for resource in app.router.resources()}
        assert {route for route in routes if not route.startswith("/static/")} == HTML | NO_HTML
        async with aiohttp.ClientSession() as session:
            for page in pages:
                async with session.get(f"{url}{page}") as answer:
                    assert_page(await answer.text())
            for path in ("/health", "/health/services/s0", "/health/database", "/health/redis", "/health/integrations"):
                async with session.get(f"{url}{path}") as answer:
                    json.loads(await answer.text())
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert answer.content_type == "application/json"
            async with session.get(f"{url}/metrics") as answer:
                families = list(text_string_to_metric_families(await answer.text()))
                assert "probe_success" in {family.name for family in families}
            for target in TEXTS.values():
                asked = {"module": "web", "target": target[:300].replace("\ud800", ""), "debug": "true"}
                async with session.get(f"{url}/probe", params=asked) as answer:
                    assert answer.content_type == "text/plain"
                    assert_text(await answer.text())
        async with new_page() as browser:
            some = [*pages[:4], *probes[:: len(names) + 1], *pages[-MOST_ROWS // 10 :]]
            for page in some:
                await browser.goto(f"{url}{page}")
                assert await browser.evaluate("typeof window.pwned") == "undefined"
                assert await browser.locator("script:not([src^='/static/']), img, iframe").count() == 0
    said = capsys.readouterr().err
    assert_text(said)
