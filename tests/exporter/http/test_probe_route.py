"""`/probe`, asked over HTTP as Prometheus asks it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from tests.exporter.certs import Certs
from tests.exporter.support import Talk, Tcp, Web, eventually, silent

Client = TestClient[aiohttp_web.Request, aiohttp_web.Application]

CONFIG = """
probe: {allow: %s}
modules:
  http_2xx: {kind: http}
  quick: {kind: http, timeout: 300ms}
  bound: {kind: http, bearer_token: hush-token, targets: ["%s"]}
  redis: {kind: redis, password: hush-redis, targets: ["db.example:6379"]}
"""


class Asking:
    """A client of an exporter with modules."""

    def __init__(self, client: Client, running: Exporter) -> None:
        self.client = client
        self.running = running

    async def text(self, headers: dict[str, str] | None = None, **query: str) -> tuple[int, str]:
        """Status and text of /probe."""
        async with self.client.get("/probe", params=query, headers=headers) as response:
            return response.status, await response.text()

    async def text_of(self, path: str) -> tuple[int, str]:
        """Status and text of another page."""
        async with self.client.get(path) as response:
            return response.status, await response.text()

    async def values(self, headers: dict[str, str] | None = None, **query: str) -> dict[str, float]:
        """What was measured, by name; every probe answers 200."""
        status, text = await self.text(headers, **query)
        assert status == 200, text
        return {
            sample.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels.items()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def start(path: Path, allow: str, bound: str) -> tuple[Exporter, Client]:
    path.write_text(CONFIG % (allow, bound))
    running = Exporter(path, config.load(path))
    return running, TestClient(TestServer(make_server(running, listen=":0", web_config=None).app))


@pytest.fixture
async def ask(web: Web, tmp_path: Path) -> AsyncIterator[Asking]:
    """An exporter that may probe this machine."""
    running, client = start(tmp_path / "exporter.yml", "['127.0.0.0/8', '::1']", web.url)
    async with client:
        yield Asking(client, running)


@pytest.fixture
async def guarded(web: Web, tmp_path: Path) -> AsyncIterator[Asking]:
    """An exporter as it is without an allow-list."""
    running, client = start(tmp_path / "exporter.yml", "[]", web.url)
    async with client:
        yield Asking(client, running)


async def test_a_good_probe_gives_blackboxs_metrics_without_labels_of_ours(ask: Asking, web: Web) -> None:
    values = await ask.values(target=web.say("/", "hello"))
    assert (values["probe_success"], values["probe_http_status_code"]) == (1, 200)
    assert values["probe_http_duration_seconds{phase=processing}"] > 0
    assert not [name for name in values if "service" in name or "fail" in name.replace("failed_due_to_regex", "")]


async def test_a_failed_probe_is_answered_too_and_says_why(ask: Asking, web: Web) -> None:
    values = await ask.values(target=web.url + "/nothing", module="http_2xx")
    assert (values["probe_success"], values["probe_failure_info{reason=status}"]) == (0, 1)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"module": "http_2xx"}, "Target parameter is missing"),
        ({"target": "http://x", "module": "http_3xx"}, "Unknown module 'http_3xx'; did you mean 'http_2xx'?"),
        ({"target": "ftp://x"}, "not an HTTP URL"),
        ({"target": "evil.example:6379", "module": "redis"}, "none of the targets that it names"),
        ({"target": "http://evil.example/", "module": "bound"}, "none of the targets that it names"),
        ({"target": "db.example:6379", "module": "redis", "hostname": "x"}, "hostname is given"),
        ({"target": "http://x", "hostname": "a\nb"}, "hostname"),
    ],
)
async def test_a_bad_request_is_400(ask: Asking, query: dict[str, str], message: str) -> None:
    status, text = await ask.text(None, **query)
    assert (status, message in text) == (400, True), text
    assert "hush" not in text


@pytest.mark.parametrize("given", ["nonsense", "0", "-1", "nan", "inf"])
async def test_a_timeout_that_is_none_is_400(ask: Asking, web: Web, given: str) -> None:
    status, _ = await ask.text({"X-Prometheus-Scrape-Timeout-Seconds": given}, target=web.url)
    assert status == 400


@pytest.mark.parametrize(
    ("scraper", "module"), [("0.8", "http_2xx"), ("10", "quick"), (None, "quick"), ("0.3", "quick")]
)
async def test_the_deadline_is_the_scrapers_less_the_offset_or_the_modules(
    ask: Asking, tcp: Callable[[Talk], Awaitable[int]], scraper: str | None, module: str
) -> None:
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": scraper} if scraper else {}
    status, text = await ask.text(headers, target=f"http://127.0.0.1:{await tcp(silent)}", module=module, debug="true")
    assert status == 200
    assert "limit 0.3 s:" in text
    # On a slow machine it may be cut while it connects.
    assert re.search(r'probe_failure_info{reason="(deadline|connect_timeout)"} 1', text), text


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "0x7f000001", "0x7f.1", "2130706433", "0177.0.0.1", "localhost", "0.0.0.0", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "[::127.0.0.1]"),
    ],
)
async def test_this_machine_is_refused_however_it_is_written(guarded: Asking, web: Web, host: str) -> None:
    port = web.url.rpartition(":")[2]
    status, text = await guarded.text(target=f"http://{host}:{port}/")
    assert 'probe_failure_info{reason="forbidden"} 1' in text or status == 400, text
    assert web.requests == []


async def test_a_name_that_leads_to_this_machine_is_refused(
    guarded: Asking, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: whatever a name gave before, it is the address of this connection that is looked at."""
    answers = iter(["203.0.113.7", "127.0.0.1", "127.0.0.1"])

    async def rebinding(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
    next(answers)
    values = await guarded.values(target=f"http://rebind.example:{web.url.rpartition(':')[2]}/")
    assert values["probe_failure_info{reason=forbidden}"] == 1
    assert web.requests == []


async def test_a_redirect_to_where_it_may_not_connect_is_refused(web: Web, tmp_path: Path) -> None:
    running, client = start(tmp_path / "exporter.yml", "['127.0.0.1']", web.url)
    port = web.url.rpartition(":")[2]
    web.say("/", status=302, headers={"Location": f"http://127.0.0.2:{port}/inside"})
    async with client:
        values = await Asking(client, running).values(target=web.url)
    assert values["probe_failure_info{reason=forbidden}"] == 1
    assert [request.path for request in web.requests] == ["/"]


async def test_debug_tells_what_happened_and_hides_secrets(ask: Asking, web: Web) -> None:
    status, text = await ask.text(target=web.say("/", "hello"), module="bound", debug="true")
    assert status == 200
    assert "probe succeeded" in text
    assert "\nprobe_success 1\n" in text
    assert "kind: http" in text
    assert "hush" not in text
    assert web.requests[-1].headers["Authorization"] == "Bearer hush-token"


async def test_a_hostname_is_asked_for_whatever_the_target_is(ask: Asking, web: Web) -> None:
    await ask.values(target=web.say("/", "hello"), hostname="shop.example")
    assert web.requests[-1].headers["Host"] == "shop.example"


async def test_openmetrics_and_gzip_are_given_to_whom_asks(ask: Asking, web: Web) -> None:
    headers = {"Accept": "application/openmetrics-text; version=1.0.0", "Accept-Encoding": "gzip"}
    async with ask.client.get("/probe", params={"target": web.say("/", "hello")}, headers=headers) as response:
        assert response.content_type == "application/openmetrics-text"
        assert response.headers["Content-Encoding"] == "gzip"
        text = await response.text()
    families = openmetrics(text)  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {"probe_success", "probe_http_status_code"}


async def test_results_stay_to_be_looked_at(ask: Asking, web: Web) -> None:
    await ask.values(target=f"{web.url}/nothing?token=hush")
    (entry,) = ask.running.board.history.failures()
    assert entry.name == ("http_2xx", f"{web.url}/nothing?token=***")


async def test_too_many_at_once_are_sent_away(ask: Asking, web: Web) -> None:
    object.__setattr__(ask.running.settings, "concurrency", 1)
    free = asyncio.Event()

    async def hang(_: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        await free.wait()
        return aiohttp_web.Response()

    asked = [asyncio.create_task(ask.text(target=web.on("/", hang))) for _ in range(3)]
    await eventually(lambda: sum(task.done() for task in asked) == 2)
    free.set()
    assert sorted([(await task)[0] for task in asked]) == [200, 503, 503]


async def test_what_is_asked_for_counts_under_the_bound_of_the_server(web: Web, tmp_path: Path) -> None:
    at_once, most, free = 0, 0, asyncio.Event()

    async def slow(_: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await free.wait()
        at_once -= 1
        return aiohttp_web.Response()

    path = tmp_path / "exporter.yml"
    modules = "modules: {http_2xx: {kind: http}, quick: {kind: http, timeout: 300ms}}"
    path.write_text(f"probe: {{allow: [127.0.0.0/8]}}\nper_server: {{others: 4}}\n{modules}\n")
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        ask, url = Asking(client, running), web.on("/", slow)
        waiting = [asyncio.create_task(ask.values(target=url)) for _ in range(5)]
        await eventually(lambda: at_once == 2)
        status, text = await ask.text(target=url, module="quick")
        assert status == 503
        assert f"half of 4 probes of 127.0.0.1:{web.port} (per_server)" in text
        _, own = await ask.text_of("/metrics")
        assert 'deploywatch_exporter_refused_probes_total{reason="per_server"} 1.0' in own
        assert 'deploywatch_exporter_refused_probes_total{reason="concurrency"} 0.0' in own
        other = await ask.values(target=web.say("/other", "hello").replace("127.0.0.1", "127.0.0.2"))
        assert "probe_failure_info{reason=connect_refused}" in other, "another server has room of its own"
        free.set()
        assert [values["probe_success"] for values in await asyncio.gather(*waiting)] == [1] * 5
    assert most == 2


async def test_what_came_from_a_variable_is_shown_nowhere(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    web.say("/t0ken-of-the-path", "well")
    url = web.say("/", "well")
    path.write_text(f"""
probe: {{allow: [127.0.0.0/8]}}
modules:
  body: {{kind: http, body: "key=${{TOKEN}}", expect: {{body: "not ${{TOKEN}}"}}, targets: ["{web.url}"]}}
  blackbox:
    prober: http
    http: {{body: "key=${{TOKEN}}", fail_if_body_not_matches_regexp: ["not ${{TOKEN}}"]}}
    targets: ["{web.url}"]
services:
  shop:
    probes:
      path: {{kind: http, url: "{web.url}/${{PATH_TOKEN}}", expect: {{body: "not ${{TOKEN}}"}}}}
      line:
        kind: tcp
        address: "127.0.0.1:{web.port}"
        timeout: 2s
        query_response: [{{send: "${{TOKEN}}"}}, {{expect: "${{TOKEN}}"}}]
""")
    variables = {"TOKEN": "hush-hush", "PATH_TOKEN": "t0ken-of-the-path"}
    running = Exporter(path, config.load(path, variables=variables))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        asking = Asking(client, running)

        def failed() -> bool:
            return sum(record.last is not None for record in running.board.records.values()) == 2

        await eventually(failed)
        for module in ("body", "blackbox"):
            status, text = await asking.text(target=url, module=module, debug="true")
            assert status == 200
            assert "hush" not in text
            assert "the body does not match 'not ***'" in text, text
        pages = ["/", "/config", "/health", "/metrics"]
        pages += [f"/results/{number}" for number in range(1, 5)]
        for page in pages:
            _, text = await asking.text_of(page)
            assert "hush" not in text, page
            assert "t0ken" not in text, page
        assert web.bodies[-1] == b"key=hush-hush"
    shown = {record.target.shown for record in running.board.records.values()}
    assert shown == {f"{web.url}/***", f"127.0.0.1:{web.port}"}


REFUSED = """
probe: {allow: [127.0.0.0/8]}
services: {shop: {probes: {web: {kind: tcp, address: "127.0.0.1:1"}}}}
modules:
  http_2xx: {prober: http}
  spoken: {prober: websocket}
"""


async def test_a_module_that_is_refused_answers_with_the_reason_and_the_others_work(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(REFUSED)
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        ask = Asking(client, running)
        assert (await ask.values(target=web.say("/", "hello")))["probe_success"] == 1
        values = await ask.values(target="x.example", module="spoken")
        assert values["probe_success"] == 0
        assert values["probe_failure_info{reason=config}"] == 1
        status, text = await ask.text(target="x.example", module="spoken", debug="true")
        assert status == 200
        assert f"{path}:6:3: modules.spoken: prober: websocket" in text
        _, own = await ask.text_of("/metrics")
        assert "deploywatch_exporter_refused_modules 1.0" in own
        assert 'deploywatch_exporter_refused_probes_total{reason="module"} 2.0' in own
        _, health = await ask.text_of("/health")
        assert "websocket" in json.loads(health)["refusedModules"]["spoken"]
        _, page = await ask.text_of("/")
        assert "module spoken is refused" in page

        path.write_text(REFUSED.replace("websocket", "tcp"))
        await running.reload()
        _, health = await ask.text_of("/health")
        assert "refusedModules" not in json.loads(health)
        _, own = await ask.text_of("/metrics")
        assert "deploywatch_exporter_refused_modules 0.0" in own


async def test_a_hostname_is_what_the_certificate_must_be_for(certs: Certs, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    tls = f"tls: {{ca_file: {certs.ca_file}}}"
    modules = f"plain: {{kind: tcp, use_tls: true, {tls}}}, whole: {{kind: tls, {tls}}}"
    path.write_text(f"probe: {{allow: [127.0.0.0/8]}}\nmodules: {{{modules}, icmp: {{kind: icmp}}}}\n")
    running = Exporter(path, config.load(path))
    async with (
        TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client,
        Tcp(silent, tls=certs.server("shop.example")) as port,
    ):
        ask = Asking(client, running)
        for module in ("plain", "whole"):
            target = f"127.0.0.1:{port}"
            assert (await ask.values(target=target, module=module, hostname="shop.example"))["probe_success"] == 1
            assert (await ask.values(target=target, module=module))["probe_success"] == 0
        status, text = await ask.text(target="127.0.0.1", module="icmp", hostname="x")
        assert (status, "hostname is for http, tcp, tls and grpc modules" in text) == (400, True)
