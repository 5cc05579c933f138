"""A real Prometheus, with a scrape config as blackbox_exporter's users have it, pointed at our /probe."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
from aiohttp.test_utils import TestServer

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from tests.exporter.support import Web, eventually

SCRAPE = """
global: {scrape_interval: 1s, scrape_timeout: 900ms}
scrape_configs:
  - job_name: endpoints
    metrics_path: /probe
    params: {module: [http_2xx]}
    static_configs: [{targets: [%s]}]
    relabel_configs:
      - {source_labels: [__address__], target_label: __param_target}
      - {source_labels: [__param_target], target_label: instance}
      - {target_label: __address__, replacement: "%s"}
  - job_name: exporter
    static_configs: [{targets: ["%s"]}]
"""


async def test_prometheus_scrapes_both(processes: Processes, web: Web, tmp_path: Path) -> None:
    good, bad = web.say("/", "hello"), f"{web.url}/nothing"
    path = tmp_path / "exporter.yml"
    http = {"preferred_ip_protocol": "ip4"}
    path.write_text(
        json.dumps(
            {
                "probe": {"allow": ["127.0.0.0/8"]},
                "modules": {"http_2xx": {"prober": "http", "http": http}},
                "services": {"shop": {"probes": {"health": {"kind": "http", "url": good}}}},
            }
        )
    )
    async with TestServer(make_server(Exporter(path, config.load(path)), listen=":0", web_config=None).app) as server:
        address = f"127.0.0.1:{server.port}"
        scrape = tmp_path / "prometheus.yml"
        scrape.write_text(SCRAPE % (f'"{good}", "{bad}"', address, address))
        prometheus = await asyncio.to_thread(servers.prometheus, processes, tmp_path / "data", scrape)
        async with aiohttp.ClientSession(prometheus.url) as session:

            async def values(query: str) -> dict[str, str]:
                async with session.get("/api/v1/query", params={"query": query}) as response:
                    found = (await response.json())["data"]["result"]
                return {one["metric"].get("instance", ""): one["value"][1] for one in found}

            async def scraped() -> bool:
                return await values('probe_success{job="endpoints"}') == {good: "1", bad: "0"}

            async def ours() -> bool:
                return await values('probe_success{service="shop",job="exporter"}') == {address: "1"}

            await eventually(scraped, within=90)
            await eventually(ours, within=90)
            assert await values("up") == {good: "1", bad: "1", address: "1"}
            assert await values('probe_failure_info{reason="status"}') == {bad: "1"}
        await asyncio.to_thread(prometheus.child.stop)
