"""CPU for each probe: the exporter on its schedule against Debian's blackbox_exporter asked by a scraper.

Both probe the same local targets, as often, over fresh connections; each is scraped as Prometheus would, with gzip.
CPU is that of the whole process, user and system, from /proc; one round of each after the other, several times.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running, python_part

_TICKS = os.sysconf("SC_CLK_TCK")
INTERVAL = 2.0
"""Seconds between two probes of a target: 1,000 targets are 500 probes a second."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is probed: the URLs, the name in the certificate and who signed it (for TLS), and for how long a round."""

    urls: tuple[str, ...]
    authority: Path | None
    interval: float
    seconds: float


def addresses(count: int) -> Iterator[str]:
    """As many addresses of this machine."""
    # All of 127/8 is this machine: each target has an address of its own, as in a real network.
    return (f"127.0.{number // 250 + 1}.{number % 250 + 1}" for number in range(count))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process until now."""
    # After the last bracket: a program's name may have spaces and brackets in it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def start_exporter(processes: Processes, folder: Path, config: dict[str, object], name: str = "exporter") -> Running:
    """Our exporter with a config."""
    folder.mkdir(parents=True, exist_ok=True)
    path, port = folder / f"{name}.yml", processes.free_port()
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "deploywatch", "exporter", f"--config.file={path}", "--log.level=error"]
    listen = f"--web.listen-address=127.0.0.1:{port}"
    return python_part(processes, name, [*command, listen], port=port, ready="/-/healthy")


def start_blackbox(processes: Processes, folder: Path, setting: Setting) -> Running:
    """Debian's blackbox_exporter with a module for these targets."""
    folder.mkdir(parents=True, exist_ok=True)
    http: dict[str, object] = {"preferred_ip_protocol": "ip4"}
    if setting.authority:
        http["tls_config"] = {"ca_file": str(setting.authority), "server_name": "bench.example"}
    path, port = folder / "blackbox.yml", processes.free_port()
    path.write_text(json.dumps({"modules": {"http_2xx": {"prober": "http", "timeout": "5s", "http": http}}}))
    program = shutil.which("prometheus-blackbox-exporter")
    if program is None:
        raise SystemExit("prometheus-blackbox-exporter is not on the PATH; on Debian: apt-get install it")
    command = [program, f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    return python_part(processes, "blackbox", command, port=port, ready="/-/healthy")


def exporter_config(setting: Setting) -> dict[str, object]:
    """Our config for these targets."""
    tls: dict[str, object] = {}
    if setting.authority:
        tls = {"tls": {"ca_file": str(setting.authority), "server_name": "bench.example"}}
    probes = {f"p{number}": {"kind": "http", "url": url, **tls} for number, url in enumerate(setting.urls)}
    times = {"interval": f"{setting.interval}s", "timeout": f"{min(setting.interval, 5)}s"}
    return {"layers": {"immediate": times}, "services": {"bench": {"probes": probes}}}


async def scrape(session: aiohttp.ClientSession, url: str) -> str:
    """The text of /metrics."""
    async with session.get(f"{url}/metrics") as response:
        return await response.text()


def value(text: str, name: str) -> float:
    """The sum of all series of a name."""
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))
    )


async def ours(server: Running, setting: Setting) -> float:
    """CPU seconds for each probe of our exporter, over a round; every one of them succeeded."""
    async with aiohttp.ClientSession() as session:
        before, cpu = (
            value(await scrape(session, server.url), "probe_runs_total"),
            cpu_seconds(server.child.process.pid),
        )
        text, end = "", time.monotonic() + setting.seconds
        while time.monotonic() < end:
            await asyncio.sleep(setting.interval)
            text = await scrape(session, server.url)
        runs, cpu = value(text, "probe_runs_total") - before, cpu_seconds(server.child.process.pid) - cpu
        # A probe that fails is cheap, and would win the comparison.
        assert value(text, "probe_success") == len(setting.urls), "a probe failed"
    return cpu / runs


async def blackbox(server: Running, setting: Setting) -> float:
    """CPU seconds for each probe of blackbox_exporter, over a round of the same rate; every one of them succeeded."""
    done = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def probe(url: str, at: float) -> None:
            nonlocal done
            await asyncio.sleep(at - time.monotonic())
            async with session.get(f"{server.url}/probe", params={"target": url}) as response:
                assert "\nprobe_success 1\n" in await response.text(), "a probe failed"
                done += 1

        cpu, begin = cpu_seconds(server.child.process.pid), time.monotonic()
        rounds = max(1, round(setting.seconds / setting.interval))
        step = setting.interval / len(setting.urls)
        for turn in range(rounds):
            start = begin + turn * setting.interval
            await asyncio.gather(*(probe(url, start + step * number) for number, url in enumerate(setting.urls)))
        cpu = cpu_seconds(server.child.process.pid) - cpu
    return cpu / done


async def compare(processes: Processes, folder: Path, setting: Setting, rounds: int) -> tuple[list[float], list[float]]:
    """CPU seconds for each probe, ours and theirs, by round."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        # In turns, so that a machine that grows slower meets both.
        for own, measure in ((True, ours), (False, blackbox)):
            place = folder / f"{number}"
            if own:
                server = await asyncio.to_thread(start_exporter, processes, place, exporter_config(setting))
                await asyncio.sleep(setting.interval * 1.5)  # until each target has run once
            else:
                server = await asyncio.to_thread(start_blackbox, processes, place, setting)
            times[0 if own else 1].append(await measure(server, setting))
            await asyncio.to_thread(server.child.stop)
    return times
