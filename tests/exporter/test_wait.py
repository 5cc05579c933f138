"""`deploywatch check --wait`: until ready, then the smoke suite once, within one total time; against a real server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web as aiohttp_web

from deploywatch.demo.processes import Processes
from tests.exporter.test_commands import run

Write = Callable[[str], Path]


class Service:
    """A service that starts: nobody listens, then 503 some times, then ready; its smoke page answers as told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.starting = 2
        self.smoke_status = 200
        self.asked: list[str] = []
        self._runner: aiohttp_web.AppRunner | None = None

    @property
    def config(self) -> str:
        base = f"http://127.0.0.1:{self.port}"
        return f"""
services:
  shop:
    probes:
      ready: {{kind: http, url: "{base}/ready"}}
      pay: {{kind: http, url: "{base}/pay", layer: business, tags: [critical]}}
"""

    async def listen(self) -> None:
        app = aiohttp_web.Application()
        app.router.add_get("/{page}", self._answer)
        self._runner = aiohttp_web.AppRunner(app)
        await self._runner.setup()
        await aiohttp_web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _answer(self, request: aiohttp_web.Request) -> aiohttp_web.Response:
        self.asked.append(request.path)
        if request.path == "/pay":
            return aiohttp_web.Response(status=self.smoke_status)
        if self.asked.count("/ready") <= self.starting:
            return aiohttp_web.Response(status=503)
        return aiohttp_web.Response()


@pytest.fixture
async def service(processes: Processes) -> AsyncIterator[Service]:
    service = Service(processes.free_port())
    yield service
    await service.close()


async def test_a_service_that_starts_is_waited_for_and_its_smoke_suite_runs_once(
    service: Service, write: Write
) -> None:
    path = write(service.config)
    arguments = ["check", "--config.file", str(path), "--wait", "50s", "--smoke", "critical", "--format", "json"]
    checking = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploywatch", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert checking.stderr
    assert b"connect_refused" in await checking.stderr.readline()
    await service.listen()
    out, err = await checking.communicate()
    assert checking.returncode == 0, err
    assert service.asked == ["/ready", "/ready", "/ready", "/pay"]
    assert set(json.loads(out)["services"][0]["probes"]) == {"ready", "pay"}
    assert b"ready after" in err


async def test_a_smoke_suite_that_fails_is_not_tried_again(service: Service, write: Write) -> None:
    service.smoke_status = 500
    await service.listen()
    ended = await run(
        "check", "--config.file", write(service.config), "--wait", "50s", "--smoke", "critical", "--format", "junit"
    )
    assert ended.returncode == 1
    assert service.asked.count("/pay") == 1
    assert '<failure type="status"' in ended.stdout


async def test_what_is_not_ready_in_time_fails_and_is_not_smoked(service: Service, write: Write) -> None:
    service.starting = 10_000
    await service.listen()
    ended = await run("check", "--config.file", write(service.config), "--wait", "3s", "--smoke", "critical")
    assert ended.returncode == 1
    assert "/pay" not in service.asked
    assert "the smoke suite was not run" in ended.stderr


async def test_without_a_suite_being_ready_is_all(service: Service, write: Write) -> None:
    await service.listen()
    ended = await run("check", "--config.file", write(service.config), "--wait", "50s")
    assert ended.returncode == 0, ended.stderr
    assert set(service.asked) == {"/ready"}


@pytest.mark.parametrize("arguments", [("--wait", "5m", "--watch", "5s"), ("--wait", "0s"), ("--wait", "soon")])
async def test_a_wait_that_makes_no_sense_is_a_usage_error(
    service: Service, write: Write, arguments: tuple[str, ...]
) -> None:
    ended = await run("check", "--config.file", write(service.config), *arguments)
    assert ended.returncode == 2
