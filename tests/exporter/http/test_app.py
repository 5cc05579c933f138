"""The exporter's routes, asked over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from deploywatch import __version__
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.pacing import AT_ONE_SERVER
from tests.exporter.support import Talk, Web, eventually, silent

Client = TestClient[aiohttp_web.Request, aiohttp_web.Application]


class Shop:
    """A shop whose health body and status can be changed, and an exporter that probes it."""

    def __init__(self, web: Web, path: Path) -> None:
        self.path = path
        self.url = web.url
        self.version, self.status = "1.2.2", 200
        web.on("/health", self._health)
        web.say("/api", "hello")
        self.write()

    def write(self, more: str = "") -> None:
        """Write the exporter's config."""
        self.path.write_text(f"""
environment: demo
services:
  shop:
    depends_on: [billing]
    probes:
      health: {{kind: http, url: "{self.url}/health", expect: {{format: health}}, bearer_token: hush}}
      api: {{kind: http, url: "{self.url}/api"}}
  billing: {{probes: {{health: {{kind: http, url: "{self.url}/api"}}}}}}
  shop-staging:
    service: shop
    environment: staging
    probes:
      health: {{kind: http, url: "{self.url}/nothing"}}
{more}""")

    async def _health(self, _: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        return aiohttp_web.json_response({"status": "healthy", "version": self.version}, status=self.status)


@pytest.fixture
def shop(web: Web, tmp_path: Path) -> Shop:
    return Shop(web, tmp_path / "exporter.yml")


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    """A client of an exporter all of whose probes have run."""
    running = Exporter(shop.path, config.load(shop.path))
    server = make_server(running, listen=":0", web_config=None)
    async with TestClient(TestServer(server.app)) as found:
        await eventually(lambda: running.not_ready() is None)
        yield found


async def get(client: Client, path: str) -> tuple[int, Any]:
    """The status and JSON body of an answer."""
    async with client.get(path) as response:
        return response.status, await response.json()


async def test_metrics_are_the_probes_and_the_exporters_own(client: Client) -> None:
    async with client.get("/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        samples = [s for family in text_string_to_metric_families(await response.text()) for s in family.samples]
    success = {
        tuple(sample.labels[name] for name in ("service", "environment", "probe", "kind")): sample.value
        for sample in samples
        if sample.name == "probe_success"
    }
    assert success == {
        ("shop", "demo", "health", "http"): 1,
        ("shop", "demo", "api", "http"): 1,
        ("billing", "demo", "health", "http"): 1,
        ("shop", "staging", "health", "http"): 0,
    }
    names = {sample.name for sample in samples}
    assert {
        "process_cpu_seconds_total",
        "python_info",
        "deploywatch_build_info",
        "deploywatch_exporter_probes",
        "deploywatch_exporter_missed_runs_total",
        "deploywatch_config_last_reload_successful",
        "probe_application_info",
        "service_dependency",
    } <= names


async def test_metrics_are_given_as_openmetrics_and_compressed_to_whom_asks(client: Client) -> None:
    headers = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5", "Accept-Encoding": "gzip"}
    async with client.get("/metrics", headers=headers) as response:
        assert response.content_type == "application/openmetrics-text"
        assert response.headers["Content-Encoding"] == "gzip"
        families = list(openmetrics(await response.text()))  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"probe_success", "probe_runs", "probe_run_duration_seconds", "deploywatch_exporter_missed_runs"} <= names
    async with client.get("/metrics", headers={"Accept-Encoding": "gzip;q=0"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_the_exporter_shows_whether_it_is_on_time(client: Client) -> None:
    async with client.get("/metrics") as response:
        values = {s.name: s.value for f in text_string_to_metric_families(await response.text()) for s in f.samples}
    assert values["deploywatch_exporter_start_lag_seconds_count"] >= 4
    assert values["deploywatch_exporter_overdue_seconds"] == 0
    assert values["deploywatch_exporter_concurrency"] == 2000
    assert "deploywatch_exporter_event_loop_lag_max_seconds" in values


async def test_the_whole_is_unhealthy_when_one_service_is(client: Client) -> None:
    status, body = await get(client, "/health")
    assert (status, body["status"]) == (503, "unhealthy")
    assert (body["version"], body["environment"]) == (__version__, "demo")
    assert body["timestamp"].endswith("Z")
    assert {(service["service"], service["environment"]): service["status"] for service in body["services"]} == {
        ("shop", "demo"): "healthy",
        ("billing", "demo"): "healthy",
        ("shop", "staging"): "unhealthy",
    }


async def test_the_whole_of_one_environment_can_be_asked(client: Client) -> None:
    status, body = await get(client, "/health?environment=demo")
    assert (status, body["status"]) == (200, "healthy")
    assert (await get(client, "/health?environment=nowhere"))[0] == 404


async def test_live_is_always_so_and_ready_once_every_probe_ran(client: Client) -> None:
    assert (await get(client, "/health/live"))[0] == 200
    assert (await get(client, "/health/ready"))[0] == 200
    async with client.get("/-/ready") as response:
        assert response.status == 200


async def test_before_every_probe_ran_it_is_live_but_not_ready(
    tcp: Callable[[Talk], Awaitable[int]], write: Callable[[str], Path]
) -> None:
    path = write(
        f"services: {{shop: {{probes: {{slow: {{kind: http, url: 'http://127.0.0.1:{await tcp(silent)}/'}}}}}}}}"
    )
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        assert (await get(client, "/health/live"))[0] == 200
        status, body = await get(client, "/health/ready")
        assert (status, body["reason"]) == (503, "1 of 1 probe has not run yet, such as shop/default/slow")
        assert (await get(client, "/health"))[1]["status"] == "unknown"
        async with client.get("/-/ready") as response:
            assert response.status == 503


async def test_a_service_is_told_with_the_version_that_it_reports(client: Client) -> None:
    status, body = await get(client, "/health/services/shop?environment=demo")
    assert (status, body["status"], body["version"]) == (200, "healthy", "1.2.2")
    assert body["environment"] == "demo"
    assert body["dependencies"]["billing"]["status"] == "healthy"
    assert body["dependencies"]["billing"]["response_time_seconds"] > 0
    assert set(body["probes"]) == {"health", "api"}


async def test_fresh_probes_now(client: Client, shop: Shop) -> None:
    _, before = await get(client, "/health/services/shop?environment=demo")
    shop.version = "1.2.3"
    _, cached = await get(client, "/health/services/shop?environment=demo")
    status, fresh = await get(client, "/health/services/shop?environment=demo&fresh=1")
    assert (cached["version"], cached["last_checked"]) == ("1.2.2", before["last_checked"])
    assert (status, fresh["version"], fresh["status"]) == (200, "1.2.3", "healthy")
    assert fresh["last_checked"] > before["last_checked"]


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_fresh_answer_of_many_probes_of_one_server_is_no_load_test(
    web: Web, tmp_path: Path, hangs: bool
) -> None:
    let_go, at_once, most = asyncio.Event(), 0, 0
    let_go.set()

    async def slow(_: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once > AT_ONE_SERVER:
            let_go.set()
        await asyncio.sleep(0.01)
        await let_go.wait()
        at_once -= 1
        return aiohttp_web.Response()

    probes = ", ".join(f"p{n}: {{kind: http, url: '{web.on('/slow', slow)}'}}" for n in range(40))
    path = tmp_path / "exporter.yml"
    path.write_text(f"services: {{shop: {{probes: {{{probes}}}}}}}")
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as found:
        await eventually(lambda: running.not_ready() is None)
        most = 0
        if hangs:
            let_go.clear()
        status, body = await get(found, "/health?fresh=1&deadline=20s")
    assert (status, body["status"]) == (200, "healthy"), "those behind one that hangs are probed all the same"
    assert hangs is (most > AT_ONE_SERVER)


@pytest.mark.parametrize("path", ["/health?environment=demo", "/health/services/shop?environment=demo"])
async def test_a_fresh_run_that_takes_too_long_counts_as_failed(
    client: Client, shop: Shop, web: Web, path: str
) -> None:
    let_go = asyncio.Event()

    async def slow(_: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        await let_go.wait()
        return aiohttp_web.Response()

    web.on("/api", slow)
    status, body = await get(client, f"{path}&fresh=1&deadline=200ms")
    found = body if "probes" in body else next(service for service in body["services"] if service["service"] == "shop")
    assert (found["status"] != "healthy", status in {200, 503}) == (True, True)
    assert found["probes"]["api"]["reason"] == "deadline"
    assert found["probes"]["api"]["detail"] == "no fresh result within 0.2 s"
    let_go.set()


@pytest.mark.parametrize("deadline", ["5", "0s", "-1s", "1h", "x"])
async def test_a_deadline_that_is_none_is_400(client: Client, deadline: str) -> None:
    async with client.get(f"/health?fresh=1&deadline={deadline}") as response:
        assert (response.status, "deadline" in await response.text()) == (400, True)


async def test_the_integrations_are_all_healthy_or_say_which_is_not(web: Web, write: Callable[[str], Path]) -> None:
    path = write(f"""
services:
  shop:
    probes:
      billing: {{kind: http, url: "{web.say("/billing")}", tags: [integration]}}
      mail: {{kind: http, url: "{web.url}/mail", tags: [integration, critical]}}
      own: {{kind: http, url: "{web.url}/nothing"}}
""")
    web.say("/mail", status=503)
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        status, body = await get(client, "/health/integrations")
        assert (status, body["status"], body["allHealthy"]) == (503, "unhealthy", False)
        assert body["failing"] == ["shop/default/mail"]
        assert [integration["probe"] for integration in body["integrations"]] == ["billing", "mail"]
        assert body["integrations"][1]["reason"] == "status"
        web.say("/mail")
        status, body = await get(client, "/health/integrations?fresh=1")
        assert (status, body["status"], body["allHealthy"], body["failing"]) == (200, "healthy", True, [])
        assert (await get(client, "/health/integrations?environment=other"))[0] == 404


async def test_without_integrations_the_answer_says_how_to_name_them(client: Client) -> None:
    status, body = await get(client, "/health/integrations")
    assert (status, "tags: [integration]" in body["error"]) == (404, True)


async def test_fresh_tells_that_a_service_has_become_worse(client: Client, shop: Shop) -> None:
    shop.status = 500
    status, body = await get(client, "/health/services/shop?environment=demo&fresh=1")
    assert (status, body["status"]) == (200, "degraded")
    assert body["probes"]["health"]["reason"] == "status"
    assert body["version"] == "1.2.2"


@pytest.mark.parametrize(
    ("path", "code", "environment"),
    [
        ("/health/services/shop", 200, "demo"),
        ("/health/services/shop?environment=staging", 503, "staging"),
        ("/health/services/billing", 200, "demo"),
        ("/health/services/nobody", 404, None),
        ("/health/services/shop?environment=nowhere", 404, None),
        ("/health/database", 404, None),
        ("/health/redis", 404, None),
    ],
)
async def test_a_service_is_found_by_name_and_environment(
    client: Client, path: str, code: int, environment: str | None
) -> None:
    status, body = await get(client, path)
    assert status == code
    assert body.get("environment") == environment
    assert ("error" in body) == (code == 404)


async def test_the_config_is_shown_without_secrets(client: Client) -> None:
    async with client.get("/config") as response:
        text = await response.text()
    assert "hush" not in text
    assert YAML(typ="safe").load(text)["services"]["shop"]["probes"]["health"]["bearer_token"] == "***"
    _, body = await get(client, "/config?format=json")
    assert body["services"]["shop"]["probes"]["health"]["bearer_token"] == "***"


async def test_the_landing_page_shows_every_probe(client: Client) -> None:
    async with client.get("/") as response:
        page = await response.text()
    assert page.count(">shop / ") == 3
    assert "It answers with another status than expected</strong>: status 404, not 2xx" in page


async def test_a_bad_reload_keeps_the_old_config_and_says_why(client: Client, shop: Shop) -> None:
    shop.write("surprise: 1")
    async with client.post("/-/reload") as response:
        assert response.status == 500
        assert "surprise: unknown key" in await response.text()
    async with client.get("/metrics") as response:
        text = await response.text()
    assert "deploywatch_config_last_reload_successful 0.0" in text
    assert text.count("\nprobe_success{") == 4


async def test_the_buckets_of_the_histogram_are_the_configs(client: Client, shop: Shop) -> None:
    shop.write("buckets: [0.3, 60]")
    async with client.post("/-/reload") as response:
        assert response.status == 200
    await get(client, "/health/services/shop?fresh=1")

    async def counted() -> bool:
        async with client.get("/metrics") as response:
            text = await response.text()
        series = next((line for line in text.splitlines() if 'probe="api"' in line and 'le="60' in line), " 0")
        assert 'le="0.005"' not in series
        return float(series.rpartition(" ")[2]) >= 1

    await eventually(counted)


async def test_a_good_reload_is_taken_over(client: Client, shop: Shop) -> None:
    shop.path.write_text(f"services: {{new: {{probes: {{api: {{kind: http, url: '{shop.url}/api'}}}}}}}}")
    async with client.post("/-/reload") as response:
        assert response.status == 200
    status, body = await get(client, "/health/services/new?fresh=1")
    assert (status, body["environment"]) == (200, "default")
    assert (await get(client, "/health/services/shop"))[0] == 404
    async with client.get("/metrics") as response:
        assert 'service="shop"' not in await response.text()


async def test_the_redis_and_database_answers_are_of_their_probes(
    redis_server: Any, write: Callable[[str], Path]
) -> None:
    path = write(f"""
services:
  shop:
    probes:
      cache: {{kind: redis, url: "{redis_server.url}"}}
      database: {{kind: postgres, dsn: "postgresql://127.0.0.1:1/x"}}
""")
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        status, body = await get(client, "/health/redis")
        assert (status, body["status"]) == (200, "healthy")
        assert body["probes"][0]["probe"] == "cache"
        status, body = await get(client, "/health/database")
        assert (status, body["status"]) == (503, "unhealthy")
        assert body["probes"][0]["reason"] == "connect_refused"
        assert json.dumps(body)


async def test_what_is_down_and_required_is_told_to_whom_balances_load(
    redis_server: Any, postgres_server: Any, write: Callable[[str], Path], web: Web
) -> None:
    path = write(f"""
services:
  shop:
    probes:
      health: {{kind: http, url: "{web.say("/", "hello")}"}}
      api: {{kind: http, url: "{web.url}/"}}
      mail: {{kind: tcp, address: "127.0.0.1:1"}}
      cache: {{kind: redis, url: "redis://127.0.0.1:1"}}
""")
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        assert (await get(client, "/health"))[0] == 503
        status, body = await get(client, "/health/ready")
        assert (status, body["status"], list(body["failing"])) == (503, "unhealthy", ["shop/default/cache"])
        path.write_text(path.read_text().replace("redis://127.0.0.1:1", redis_server.url))
        await running.reload()
        await eventually(lambda: not any(running.board.waiting()))
        # The mail server is down as well, but up to half of what is not required may be.
        assert [(await get(client, path))[0] for path in ("/health", "/health/ready")] == [200, 200]
        assert (await get(client, "/health"))[1]["status"] == "degraded"
        path.write_text(path.read_text().replace("kind: tcp,", "kind: tcp, required: true,"))
        await running.reload()
        await eventually(lambda: not any(running.board.waiting()))
        assert (await get(client, "/health/ready"))[0] == 503


async def test_a_reload_that_adds_a_target_that_hangs_leaves_the_others_ready(
    web: Web, write: Callable[[str], Path], tcp: Callable[[Talk], Awaitable[int]]
) -> None:
    health = f"health: {{kind: http, tags: [integration], url: '{web.say('/', 'hello')}'}}"
    text = f"services: {{shop: {{probes: {{{health}}}}}}}"
    path = write(text)
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        hanging = f"redis: {{kind: redis, tags: [integration], url: 'redis://127.0.0.1:{await tcp(silent)}'}}"
        more = f"cache: {{probes: {{{hanging}}}}}, shop: {{depends_on: [cache],"
        path.write_text(text.replace("{health:", f"{{{hanging}, health:").replace("shop: {", more))
        await running.reload()
        assert running.not_ready() is None
        assert (await get(client, "/health/ready"))[0] == 200
        status, body = await get(client, "/health")
        shop = next(service for service in body["services"] if service["service"] == "shop")
        assert (status, shop["status"], shop["probes"]["redis"]["status"]) == (200, "healthy", "unknown")
        assert shop["dependencies"]["cache"]["status"] == "unknown"
        status, body = await get(client, "/health/integrations")
        assert (status, body["allHealthy"], len(body["integrations"])) == (200, True, 3)


async def test_a_target_file_that_adds_a_target_that_hangs_leaves_the_others_ready(
    web: Web, write: Callable[[str], Path], tmp_path: Path, tcp: Callable[[Talk], Awaitable[int]]
) -> None:
    probes = f"probes: {{health: {{kind: http, url: '{web.say('/', 'hello')}'}}}}"
    discover = "discover: [{files: [more.yml], module: cache, service: shop, refresh: 1h}]"
    path = write(f"services: {{shop: {{{probes}}}}}\nmodules: {{cache: {{kind: redis}}}}\n{discover}")
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        (tmp_path / "more.yml").write_text(f"- targets: ['127.0.0.1:{await tcp(silent)}']")
        await running.refresh()
        assert len(running.board.records) == 2
        assert (await get(client, "/health/ready"))[0] == 200
        assert (await get(client, "/health"))[0] == 200


async def test_source_000s_fields_are_in_the_answers_of_databases(
    redis_server: Any, postgres_server: Any, write: Callable[[str], Path]
) -> None:
    path = write(f"""
services:
  shop:
    probes:
      cache: {{kind: redis, url: "{redis_server.url}"}}
      database:
        kind: postgres
        dsn: "{postgres_server.url}"
        queries: {{tenants: {{sql: "SELECT 7", help: Tenants.}}}}
""")
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        body = (await get(client, "/health/database"))[1]
        assert (body["status"], body["tenantCount"]) == ("healthy", 7)
        assert body["timestamp"]
        body = (await get(client, "/health/redis"))[1]
        assert body["pingTime"] > 0
        assert body["probes"][0]["ping_time_seconds"] > 0


async def test_several_databases_are_as_the_worst_of_them(redis_server: Any, write: Callable[[str], Path]) -> None:
    good = ", ".join(f"r{n}: {{kind: redis, url: '{redis_server.url}'}}" for n in range(3))
    path = write(f"services: {{shop: {{probes: {{{good}, down: {{kind: redis, url: 'redis://127.0.0.1:1'}}}}}}}}")
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: running.not_ready() is None)
        status, body = await get(client, "/health/redis")
        assert (status, body["status"]) == (503, "unhealthy")
        assert "shop/default/down: connect_refused" in body["error"]
