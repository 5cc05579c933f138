"""The page on scraping: Prometheus takes its examples, and with them labels arrive as the exporter gives them."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from ruamel.yaml import YAML

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from tests.exporter.support import Web, eventually

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "exporter" / "scrape.md"
SCRAPES = re.findall(r"```\n(scrape_configs:.*?)```", PAGE.read_text(), re.DOTALL)
EXPRESSIONS = re.findall(r"`((?:up|absent|count)[({].*?)`", PAGE.read_text().partition("## Is it scraped?")[2])
MANIFESTS = re.findall(r"```kubernetes\n(.*?)```", PAGE.read_text(), re.DOTALL)


def yaml(text: str) -> Any:
    return YAML(typ="safe").load(io.StringIO(text))


@pytest.mark.parametrize("number", range(len(SCRAPES)))
def test_prometheus_takes_each_example(number: int, tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(SCRAPES[number].replace("/etc/prometheus/", f"{tmp_path}/"))
    (tmp_path / "exporter-password").write_text("hush")
    done = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_example_of_a_scrape_honors_labels() -> None:
    assert len(SCRAPES) == 4
    files = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.yml"), ROOT / "README.md"]
    files += [path for ending in ("yml", "yaml", "md") for path in (ROOT / "deploy").rglob(f"*.{ending}")]
    jobs = 0
    for file in files:
        for block in re.findall(r"scrape_configs:\n(?: .*\n|\n)+", file.read_text()):
            for job in block.split("- job_name:")[1:]:
                if job.split()[0] in {"prometheus", "alertmanager"}:
                    # Their series have no labels of ours.
                    continue
                jobs += 1
                assert "honor_labels: true" in job, f"{file}: {job}"
    assert jobs >= 8


def test_every_manifest_of_the_chart_honors_labels() -> None:
    kinds = 0
    for file in (ROOT / "deploy").rglob("*.y*ml"):
        for manifest in file.read_text().split("\n---"):
            if found := re.search(r"^kind: (ServiceMonitor|PodMonitor|ScrapeConfig)$", manifest, re.MULTILINE):
                kinds += 1
                assert "honorLabels: true" in manifest, f"{file}: {found[1]}"
    assert kinds >= 2


def test_the_operators_manifests_honor_labels_where_they_can() -> None:
    kinds = {manifest["kind"]: manifest["spec"] for manifest in map(yaml, MANIFESTS)}
    assert kinds["ServiceMonitor"]["endpoints"][0]["honorLabels"] is True
    assert kinds["ScrapeConfig"]["honorLabels"] is True
    assert "honorLabels" not in kinds["Probe"]


async def test_labels_arrive_as_the_exporter_gives_them_and_the_pages_expressions_tell_when_they_do_not(
    processes: Processes, workshop: Path, web: Web, write: Callable[[str], Path], tmp_path: Path
) -> None:
    path = write(f"services: {{shop: {{probes: {{health: {{kind: http, url: '{web.say('/', 'hello')}'}}}}}}}}")
    running = Exporter(path, config.load(path))
    async with TestServer(make_server(running, listen=":0", web_config=None).app) as server:
        await eventually(lambda: running.not_ready() is None)
        scrape = yaml(SCRAPES[0])
        (job,) = scrape["scrape_configs"]
        job["scrape_interval"] = "1s"
        # A target's own labels are what makes the difference.
        job["static_configs"] = [
            {"targets": [f"127.0.0.1:{server.port}"], "labels": {"service": "exporter", "environment": "ops"}}
        ]
        not_so = {**job, "job_name": "renaming", "honor_labels": False}
        scrape["scrape_configs"].append(not_so)
        own = tmp_path / "prometheus.yml"
        with own.open("w") as file:
            YAML().dump(scrape, file)
        prometheus = servers.prometheus(processes, workshop / "scraped", own)
        up, absent, renamed = EXPRESSIONS
        honored = renamed.replace("{", '{job="deploywatch-exporter", ')

        async def labels(expression: str) -> list[dict[str, str]]:
            asked = f"{prometheus.url}/api/v1/query"
            async with aiohttp.ClientSession() as session, session.get(asked, params={"query": expression}) as response:
                return [series["metric"] for series in (await response.json())["data"]["result"]]

        async def there(expression: str) -> bool:
            return bool(await labels(expression))

        await eventually(partial(there, 'probe_success{job="deploywatch-exporter"}'))
        await eventually(partial(there, renamed))
        (found,) = await labels('probe_success{job="deploywatch-exporter"}')
        assert (found["service"], found["environment"], found["probe"]) == ("shop", "default", "health")
        assert "exported_service" not in found
        assert [await labels(expression) for expression in (up, absent, honored)] == [[], [], []]
    await eventually(partial(there, up))
    await eventually(partial(there, absent))
