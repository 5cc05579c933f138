"""The page's example of business figures, run against real servers: what the shipped policies read is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import redis.asyncio
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from deploywatch.demo.servers import Running
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from tests.exporter.support import Web, eventually

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "http_requests_total",
    "http_request_duration_seconds",
    "db_query_duration_seconds",
    "container_cpu_usage_seconds_total",
}
"""What the application itself, its client libraries and cAdvisor expose."""


def example() -> str:
    page = (ROOT / "docs" / "exporter" / "metrics.md").read_text()
    return str(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[1])


async def test_each_figure_comes_from_its_source_with_its_type(
    postgres_server: Running, redis_server: Running, web: Web, write: Callable[[str], Path]
) -> None:
    database = await asyncpg.connect(postgres_server.url)
    await database.execute(
        "DROP TABLE IF EXISTS orders, sessions; CREATE TABLE orders (euros numeric);"
        " CREATE TABLE sessions (ended timestamptz); INSERT INTO orders VALUES (10.5), (20);"
        " INSERT INTO sessions VALUES (NULL)"
    )
    client = redis.asyncio.from_url(redis_server.url)
    await client.set("shop:complaints", 3)
    web.say("/stats", '{"satisfaction": {"mean": 4.5}, "leads": {"count": 12}}')
    text = example().replace("postgresql://probe@db.example/shop", postgres_server.url)
    text = text.replace("https://shop.example", web.url).replace("redis://cache.example:6379/0", redis_server.url)
    path = write(text)
    running = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as asked:
        await eventually(lambda: running.not_ready() is None)
        async with asked.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as response:
            parsed = text_string_to_metric_families(await response.text())  # type: ignore[no-untyped-call]
            families = {family.name: family for family in parsed}
    await database.execute("DROP TABLE orders, sessions")
    await database.close()
    await client.aclose()
    expected: dict[str, Any] = {
        "revenue": ("counter", 30.5),
        "conversions": ("counter", 2),
        "user_sessions": ("gauge", 1),
        "user_satisfaction_score": ("gauge", 4.5),
        "leads": ("counter", 12),
        "user_complaints": ("counter", 3),
    }
    for name, (kind, value) in expected.items():
        assert (families[name].type, families[name].samples[0].value) == (kind, value), name
    assert families["db_pool_connections_in_use"].samples[0].value >= 1


def test_every_series_of_the_shipped_policies_is_in_the_example_or_exposed_elsewhere() -> None:
    policies = "".join(path.read_text() for path in (ROOT / "rules" / "policies").glob("*.yml"))
    read = set(re.findall(r"^\s+metric: (\w+)", policies, re.MULTILINE))
    given = {
        name
        for service in YAML(typ="safe").load(example())["services"].values()
        for probe in service["probes"].values()
        for name in {**probe.get("queries", {}), **probe.get("gauges", {})}
    }
    assert read
    assert read - ELSEWHERE <= given
