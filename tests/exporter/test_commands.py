"""The commands, run as a user runs them: in processes of their own."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running, python_part
from tests.exporter.support import Web, eventually
from tests.support import forked

Write = Callable[[str], Path]


async def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `deploywatch` to its end."""
    return await asyncio.to_thread(forked.run, *arguments)


async def test_the_exporter_runs_scrapes_reloads_and_ends(
    processes: Processes, web: Web, postgres_server: Running, redis_server: Running, write: Write
) -> None:
    text = f"""
services:
  shop:
    environment: demo
    probes:
      health: {{kind: http, url: "{web.say("/", "hello")}", password: hush-http, username: ann}}
      database: {{kind: postgres, dsn: "{postgres_server.url}", queries: {{one: {{sql: SELECT 1, help: One.}}}}}}
      cache: {{kind: redis, url: "{redis_server.url}"}}
      locked-out: {{kind: postgres, dsn: "{postgres_server.url}", password: hush-postgres}}
      down: {{kind: redis, url: "redis://:hush-redis@127.0.0.1:1"}}
"""
    path, port = write(text), processes.free_port()
    command = [sys.executable, "-m", "deploywatch", "exporter", "--config.file", str(path)]
    exporter = await asyncio.to_thread(
        python_part,
        processes,
        "exporter",
        [*command, "--web.listen-address", f"127.0.0.1:{port}"],
        port=port,
        ready="/-/ready",
    )
    async with aiohttp.ClientSession(exporter.url) as session:

        async def scrape() -> dict[tuple[str, str], float]:
            async with session.get("/metrics") as response:
                families = list(text_string_to_metric_families(await response.text()))
            return {(s.name, s.labels.get("probe", "")): s.value for family in families for s in family.samples}

        values = await scrape()
        succeeded = {probe: value for (name, probe), value in values.items() if name == "probe_success"}
        assert succeeded == {"health": 1, "database": 1, "cache": 1, "locked-out": 0, "down": 0}
        assert values["one", "database"] == 1

        async with session.get("/health/services/shop", params={"environment": "demo", "fresh": "1"}) as response:
            body = await response.json()
        # Two of its databases are down, and a service needs these.
        assert (response.status, body["status"]) == (503, "unhealthy")
        assert body["probes"]["locked-out"]["reason"] == "auth"

        path.write_text(text.replace("cache:", "queue:"))
        exporter.child.process.send_signal(signal.SIGHUP)

        async def taken_over() -> bool:
            return ("probe_success", "queue") in await scrape()

        await eventually(taken_over)
        assert ("probe_success", "cache") not in await scrape()
    exporter.child.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(exporter.child.process.wait, 90) == 0
    log = exporter.child.log.read_text()
    assert "reason=connect_refused" in log
    assert "Traceback" not in log
    assert "hush" not in log


async def test_check_prints_a_table_and_fails_when_something_is_not_well(web: Web, write: Write) -> None:
    path = write(f"""
services:
  shop: {{probes: {{api: {{kind: http, url: "{web.say("/", "hello")}"}}}}}}
  mail: {{probes: {{api: {{kind: http, url: "{web.url}/[nothing]"}}}}}}
""")
    done = await run("check", "--config.file", path)
    assert done.returncode == 1, done.stderr
    assert "status: status 404, not 2xx" in done.stdout
    assert "1 of 2 probes succeeded" in done.stdout
    alone = await run("check", "--config.file", path, "--service", "shop")
    assert alone.returncode == 0, alone.stdout


async def test_check_gives_json_to_scripts(web: Web, write: Write) -> None:
    path = write(f"services: {{shop: {{probes: {{api: {{kind: http, url: '{web.url}/nothing'}}}}}}}}")
    done = await run("check", "--config.file", path, "--format", "json")
    assert done.returncode == 1
    body = json.loads(done.stdout)
    assert body["status"] == "unhealthy"
    assert body["services"][0]["probes"]["api"]["reason"] == "status"


async def test_a_bad_config_is_told_with_all_its_faults_and_exits_2(write: Write) -> None:
    path = write("enviroment: x\nservices: {shop: {probes: {a: {kind: htp}}}}\n")
    for command in (["exporter", "--config.check"], ["exporter"], ["check"]):
        done = await run(*command, "--config.file", path)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            f"{path}:1:1: enviroment: unknown key; did you mean 'environment'?",
            f"{path}:2:32: services.shop.probes.a.kind: unknown kind 'htp'; did you mean 'http'?",
        ]


async def test_a_service_that_is_not_there_is_a_usage_error(write: Write) -> None:
    path = write("services: {shop: {probes: {a: {kind: redis, url: 'redis://127.0.0.1:1'}}}}")
    done = await run("check", "--config.file", path, "--service", "shp")
    assert done.returncode == 2
    assert "did you mean 'shop'?" in done.stderr


async def test_a_good_config_passes_the_check(write: Write) -> None:
    done = await run(
        "exporter",
        "--config.check",
        "--config.file",
        write("services: {shop: {probes: {a: {kind: redis, url: 'redis://127.0.0.1:1'}}}}"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "good, 1 probe," in done.stdout


async def test_a_blackbox_yml_is_checked_module_by_module(write: Write) -> None:
    path = write("modules:\n  web: {prober: http}\n  ping: {prober: icmp}\n  spoken: {prober: websocket}\n")
    done = await run("exporter", "--config.file", path, "--config.check")
    assert done.returncode == 1
    assert f"{path}:4:3: modules.spoken: prober: websocket: is not there" in done.stderr
    assert "partly good, 0 probes, 2 modules, 1 refused" in done.stdout
    path = write("modules:\n  web: {prober: http}\n")
    done = await run("exporter", "--config.file", path, "--config.check")
    assert (done.returncode, done.stderr) == (0, "")
