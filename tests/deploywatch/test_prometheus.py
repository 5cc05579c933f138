"""The client asks a real Prometheus, and has one error for everything that goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus, Series

CONFIG = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: nobody
    static_configs: [{targets: ["127.0.0.1:1"]}]
"""
RULES = """\
groups:
  - name: test
    rules:
      - alert: AlwaysFiring
        expr: vector(3)
        labels: {severity: low}
"""


@pytest.fixture(scope="module")
def server(processes: Processes, workshop: Path) -> Running:
    folder = workshop / "prometheus-client"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(CONFIG)
    (folder / "rules.yml").write_text(RULES)
    return servers.prometheus(processes, folder / "data", folder / "prometheus.yml")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def prometheus(server: Running, session: aiohttp.ClientSession) -> Prometheus:
    return Prometheus(server.url, session)


async def soon(ask: Callable[[], Awaitable[list[dict[str, Any]]]]) -> dict[str, Any]:
    """The one answer, as soon as there is one."""
    async with asyncio.timeout(120):
        found = await ask()
        while not found:
            await asyncio.sleep(0.1)
            found = await ask()
    (one,) = found
    return one


async def test_a_vector_is_a_list_of_series(prometheus: Prometheus) -> None:
    series = await prometheus.query('label_replace(vector(1.5), "service", "shop", "", "")')
    assert series == [Series({"service": "shop"}, 1.5)]
    assert await prometheus.query("no_such_metric") == []


async def test_a_scalar_is_one_series_without_labels(prometheus: Prometheus) -> None:
    assert await prometheus.query("1 + 1") == [Series({}, 2.0)]


async def test_alerts_are_given_as_the_api_gives_them(prometheus: Prometheus) -> None:
    alert = await soon(prometheus.alerts)
    assert alert["labels"] == {"alertname": "AlwaysFiring", "severity": "low"}
    assert alert["state"] == "firing"


async def test_a_url_may_end_with_a_slash(server: Running, session: aiohttp.ClientSession) -> None:
    assert await Prometheus(f"{server.url}/", session).query("1") == [Series({}, 1.0)]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("up >", r"refused /api/v1/query: .*parse error"),
        ("up[5m]", r"gave a matrix and not numbers for the query 'up\[5m\]'"),
        ('"text"', "gave a string and not numbers"),
    ],
)
async def test_a_bad_query_is_refused_with_the_reason(prometheus: Prometheus, expression: str, text: str) -> None:
    with pytest.raises(UnreachableError, match=text):
        await prometheus.query(expression)


@pytest.mark.parametrize("url", ["http://ada:hunter2@127.0.0.1:1", "http://ada:hunter2@127.0.0.1:99999"])
async def test_a_server_that_is_away_is_named_without_credentials(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(
        UnreachableError, match=r"Prometheus at http://.*\*\*\*.* did not answer /api/v1/alerts: "
    ) as caught:
        await Prometheus(url, session).alerts()
    assert "hunter2" not in str(caught.value)


OTHERS: dict[str, tuple[int, str, str, str]] = {
    "a page": (200, "text/html", "<html><style>p {}</style><p>Sign in", "200 with a page .* it says 'Sign in'"),
    "a proxy": (502, "text/html", "<h1>Bad Gateway</h1>", "502 with a page and no JSON, .* it says 'Bad Gateway'"),
    "no credentials": (401, "text/plain", "Unauthorized\n", "a password or a bearer token is missing, or wrong"),
    "another path": (404, "text/plain", "404 page not found\n", "below another path, perhaps"),
    "a list": (200, "application/json", "[]", "refused"),
    "half a text": (200, "application/json", '{"status":', r"200 with what is no JSON \(.*\); it says '{"),
    "a refusal": (200, "application/json", '{"status": "error", "error": "no"}', "refused .*: no"),
    "a refusal of credentials": (403, "application/json", '{"error": "no"}', "these credentials may not ask this: no"),
    "no data": (200, "application/json", '{"status": "success"}', "as Prometheus does .*; is it one?"),
    "no number": (
        *(200, "application/json"),
        '{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "x"]}]}}',
        "as Prometheus does .*could not convert string to float",
    ),
    "no result": (
        *(200, "application/json"),
        '{"status": "success", "data": {"resultType": "vector", "result": null}}',
        "as Prometheus does",
    ),
}


@contextlib.asynccontextmanager
async def answering(
    session: aiohttp.ClientSession, text: str, status: int = 200, kind: str = "application/json"
) -> AsyncIterator[Prometheus]:
    """The client of a server that answers everything with this text."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, content_type=kind, text=text)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Prometheus(f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
async def test_another_server_that_answers_is_no_prometheus(
    session: aiohttp.ClientSession, case: tuple[int, str, str, str]
) -> None:
    status, kind, text, said = case
    async with answering(session, text, status, kind) as prometheus:
        with pytest.raises(UnreachableError, match=said):
            await prometheus.query("1")
        asked: tuple[Awaitable[object], ...] = (
            prometheus.query_range("1", start=0, end=1, step=1),
            prometheus.alerts(),
            prometheus.label_values("job"),
            prometheus.metadata(),
        )
        for other in asked:
            with pytest.raises(UnreachableError):
                await other


async def test_a_partial_answer_is_none_where_the_whole_is_asked_for(session: aiohttp.ClientSession) -> None:
    """Thanos says so of a store that is away, and Prometheus of series that it left out; what the engine remarks on the
    query itself is no part that lacks."""
    data: dict[str, Any] = {"resultType": "vector", "result": []}
    for lacking in (
        "receive series from store-2: connection refused",
        "PromQL warning: a mix of histograms and floats",
    ):
        partial = {"status": "success", "data": data, "warnings": [lacking]}
        async with answering(session, json.dumps(partial)) as asked:
            with pytest.raises(UnreachableError, match=f"partial answer: {lacking}"):
                await asked.query("1", whole=True)
            assert await asked.query("1") == []
    remark = {"status": "success", "data": data, "warnings": ["PromQL info: this might be no counter"]}
    async with answering(session, json.dumps(remark)) as asked:
        assert await asked.query("1", whole=True) == []
