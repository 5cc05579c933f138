"""The start of 5,000 targets, and a check of 500: how long, how many at one server at once, how many fail."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.exporter.cpu import addresses, cpu_seconds, start_exporter
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import python_part

TARGETS, SERVERS, INTERVAL, BOUND = 5000, 10, 15.0, 20
CHECKED, WITHIN = 500, "200ms"
_MOST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds from when it answers until every target has run; the most connections that one address saw.

    `cpu` is the whole process's until then, in seconds, the reading of its config too.
    """

    seconds: float
    cpu: float
    most: int
    missed: float
    failed: float


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` said: its exit code, how many failed and how, its seconds, the most connections at one address."""

    code: int
    failed: list[str]
    seconds: float
    most: int


async def start(processes: Processes, folder: Path) -> Started:
    """Start an exporter with 5,000 targets of ten servers, each of which may see 20 connections at once."""
    port = await counting(processes, "counting-start")
    probes = {
        f"p{number}": {"kind": "http", "url": f"http://{address}:{port}/{number}"}
        for number, address in enumerate(list(addresses(SERVERS + 1))[1:] * (TARGETS // SERVERS))
    }
    config: dict[str, object] = {
        "per_server": {"others": BOUND},
        "layers": {"immediate": {"interval": f"{INTERVAL}s", "timeout": "10s"}},
        "services": {"bench": {"probes": probes}},
    }
    server = await asyncio.to_thread(start_exporter, processes, folder, config, "start")
    begin = time.monotonic()
    async with aiohttp.ClientSession() as session:
        while time.monotonic() - begin < _MOST_SECONDS:
            async with session.get(f"{server.url}/-/ready") as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.1)
        seconds, cpu = time.monotonic() - begin, cpu_seconds(server.child.process.pid)
        async with session.get(f"{server.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        at_once = await most(session, port)
    await asyncio.to_thread(server.child.stop)
    return Started(seconds, cpu, at_once, _sum(lines, "deploywatch_exporter_missed_runs_total"), _failed(lines))


async def check(processes: Processes, folder: Path) -> Checked:
    """Check 500 probes, each of which must be answered within 200 ms, of ten healthy servers."""
    port = await counting(processes, "counting-check")
    probes = {
        f"p{number}": {"kind": "http", "url": f"http://{address}:{port}/{number}", "expect": {"within": WITHIN}}
        for number, address in enumerate(list(addresses(SERVERS + 1))[1:] * (CHECKED // SERVERS))
    }
    path = folder / "check.yml"
    path.write_text(json.dumps({"services": {"bench": {"probes": probes}}}))
    begin = time.monotonic()
    command = [sys.executable, "-m", "deploywatch", "check", f"--config.file={path}", "--format", "json"]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    seconds = time.monotonic() - begin
    report = json.loads(output)
    failed = [
        str(probe.get("detail") or probe.get("reason"))
        for service in report["services"]
        for probe in service["probes"].values()
        if probe.get("status") != "healthy"
    ]
    async with aiohttp.ClientSession() as session:
        return Checked(child.returncode or 0, failed, seconds, await most(session, port))


async def counting(processes: Processes, name: str) -> int:
    """The port of a new server that counts its connections."""
    port = processes.free_port()
    command = [sys.executable, "-m", "bench.exporter.counting", str(port)]
    await asyncio.to_thread(python_part, processes, name, command, port=port, ready="/most")
    return port


async def most(session: aiohttp.ClientSession, port: int) -> int:
    """The most connections that one of its addresses had at once."""
    async with session.get(f"http://127.0.0.1:{port}/most") as answer:
        return int(await answer.text())


def _sum(lines: list[str], name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def _failed(lines: list[str]) -> float:
    return _sum(lines, "probe_failures_total")
