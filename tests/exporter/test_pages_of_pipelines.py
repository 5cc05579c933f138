"""The examples on the pages of what a pipeline calls run as they are written there, against real servers and files."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web

from deploywatch.demo.processes import Processes
from tests.support import forked

DOCS = Path(__file__).parents[2] / "docs"
COMPOSE = """\
services:
  shop:
    image: shop
    ports:
    - "3000:80"
  reports:
    image: reports
    ports:
    - "3000:80"
"""


def examples(page: str, command: str) -> list[list[str]]:
    """The commands that a page gives, without what the shell does with their output."""
    lines = re.findall(rf"^    deploywatch ({command} .*)$", (DOCS / f"{page}.md").read_text(), re.MULTILINE)
    return [shlex.split(line.partition(" > ")[0]) for line in lines]


async def deploywatch(folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, as a pipeline does."""
    environment = {name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"}
    return await asyncio.to_thread(forked.run, *arguments, cwd=folder, env=environment)


@pytest.fixture
async def shop(processes: Processes) -> AsyncIterator[str]:
    """A shop that answers everything."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/{page:.*}", answer)
    runner, port = web.AppRunner(app), processes.free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}/"
    await runner.cleanup()


def config(url: str) -> str:
    """A config that asks the shop for its pages."""
    probes = {"page": {"kind": "http", "url": url}, "pay": {"kind": "http", "url": f"{url}pay", "tags": ["critical"]}}
    return json.dumps({"services": {"shop": {"probes": probes}}})


async def test_the_example_of_ports_says_what_its_page_says(tmp_path: Path) -> None:
    page = (DOCS / "ports.md").read_text()
    (tmp_path / "port-registry.json").write_text(page.partition("```json\n")[2].partition("```")[0])
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    (tmp_path / "docker-compose.production.yml").write_text("services: {shop: {restart: always}}\n")
    (tmp_path / "compose.staging.yml").write_text('services: {shop: {image: shop, ports: ["3001:80"]}}\n')
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "services.yml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {}\n")
    (said,) = re.findall(r"`(docker-compose\.yml:\d+:\d+: [^`]*)`", page)
    check, suggest, show = [await deploywatch(tmp_path, example) for example in examples("ports", "ports")]
    assert check.returncode == 1, check.stderr
    text = " ".join(check.stdout.split())
    for part in " ".join(said.split()).split("; "):
        assert part in text
    assert suggest.returncode == 0, suggest.stdout + suggest.stderr
    assert show.returncode == 0, show.stderr
    assert {"3000-3009", "3010", "5140", "shop", "reports"} <= set(show.stdout.split())


async def test_the_example_of_check_waits_and_smokes(tmp_path: Path, shop: str) -> None:
    (tmp_path / "exporter.yml").write_text(config(shop))
    (example,) = [one for one in examples("check", "check") if "--wait" in one]
    done = await deploywatch(tmp_path, example)
    assert done.returncode == 0, done.stderr
    root = ET.fromstring(done.stdout.partition("\n")[2])  # noqa: S314 - our own text
    assert root.get("failures") == "0"
    assert "pay" in {case.get("name") for case in root.iter("testcase")}


async def test_the_examples_of_load_measure_save_and_compare(tmp_path: Path, shop: str) -> None:
    (tmp_path / "exporter.yml").write_text(config(shop))
    first, second = examples("load", "load")
    quick = ["--duration", "2s", "--warm-up", "0s"]
    saved = await deploywatch(tmp_path, [shop if "://" in word else word for word in first] + quick)
    assert saved.returncode == 0, saved.stdout + saved.stderr
    assert json.loads((tmp_path / "base.json").read_text())["requests"] >= 100
    compared = await deploywatch(tmp_path, [shop if "://" in word else word for word in second] + quick)
    # A machine that is busy with other things meanwhile may be slower than a moment ago: then it says so.
    assert compared.returncode in (0, 1), compared.stderr
    assert "p95" in compared.stdout


async def test_ctrl_c_while_a_service_is_waited_for_leaves_nothing(tmp_path: Path, processes: Processes) -> None:
    (tmp_path / "exporter.yml").write_text(config(f"http://127.0.0.1:{processes.free_port()}/"))
    command = [sys.executable, "-m", "deploywatch", "check", "--config.file", "exporter.yml", "--wait", "5m"]
    # Of its own group, so that what it leaves could be found by that.
    running = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert running.stderr is not None
    heard = await running.stderr.readline()
    assert heard, "it says what it waits for"
    running.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(running.communicate(), 120)
    assert running.returncode == 130
    assert b"Traceback" not in heard + err
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)
    assert os.listdir(tmp_path) == ["exporter.yml"]  # noqa: PTH208 - no file system waits for the loop here
