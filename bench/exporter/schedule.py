"""Thousands of targets every 15 s, 5 % of them hanging, 5 % refusing: starts on time, memory flat, the loop free?"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from bench.exporter.cpu import addresses, cpu_seconds, scrape, start_exporter
from deploywatch.demo.processes import Processes

TARGETS, MANY, INTERVAL, TIMEOUT = 5000, 20_000, 15.0, 10.0
_SCRAPE_EVERY = 5.0
_LAG, _LOOP = "deploywatch_exporter_start_lag_seconds", "deploywatch_exporter_event_loop_lag_seconds"


@dataclass(slots=True)
class Seen:
    """What the exporter told of itself between warm-up and end; seconds and bytes."""

    seconds: float = 0.0
    runs: float = 0.0
    failed: float = 0.0
    missed: float = 0.0
    cpu: float = 0.0
    start_p99: float = 0.0
    loop_over_50ms: float = 0.0
    loop_looks: float = 0.0
    loop_p999: float = 0.0
    loop_longest: float = 0.0
    idle_looks: int = 0
    idle_over_50ms: int = 0
    idle_longest: float = 0.0
    memory: list[int] = field(default_factory=list)
    text_bytes: int = 0
    scrape_seconds: list[float] = field(default_factory=list)


def exporter_config(http: int, hang: int, refused: int, count: int) -> dict[str, object]:
    """The config: every twentieth target hangs, and the one after it is refused."""
    ports = {0: hang, 1: refused}
    probes = {
        f"p{number}": {"kind": "http", "url": f"http://{address}:{ports.get(number % 20, http)}/"}
        for number, address in enumerate(addresses(count))
    }
    times = {"interval": f"{INTERVAL}s", "timeout": f"{TIMEOUT}s"}
    return {"layers": {"immediate": times}, "services": {"bench": {"probes": probes}}}


async def watch(
    processes: Processes, folder: Path, config: dict[str, object], seconds: float, scrape_every: float = _SCRAPE_EVERY
) -> Seen:
    """Run the exporter, leave it four intervals to warm up, and look at it for so long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The exporter inherits it: with 1,024 descriptors, hanging targets would use up all.
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = await asyncio.to_thread(start_exporter, processes, folder, config, "schedule")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    pid, seen = server.child.process.pid, Seen()
    async with aiohttp.ClientSession() as session:
        # Four intervals, until the start's burst is over and memory has settled.
        end = time.monotonic() + 4 * INTERVAL
        while time.monotonic() < end:
            await asyncio.sleep(scrape_every)
            await scrape(session, server.url)
        before, cpu, begin = _values(await scrape(session, server.url)), cpu_seconds(pid), time.monotonic()
        idle = processes.start("idle", [sys.executable, "-m", "bench.exporter.idle", f"{seconds}"])
        text = ""
        while time.monotonic() - begin < seconds:
            await asyncio.sleep(scrape_every)
            asked = time.perf_counter()
            text = await scrape(session, server.url)
            seen.scrape_seconds.append(time.perf_counter() - asked)
            seen.memory.append(_resident(pid))
        last = _values(text)
        seen.loop_longest = last["deploywatch_exporter_event_loop_lag_max_seconds"]
        now = {name: value - before.get(name, 0.0) for name, value in last.items()}
        seen.seconds, seen.cpu, seen.text_bytes = time.monotonic() - begin, cpu_seconds(pid) - cpu, len(text)
    await asyncio.to_thread(idle.process.wait, 30)
    looks, late, longest = idle.tail(1).split()
    seen.idle_looks, seen.idle_over_50ms, seen.idle_longest = int(looks), int(late), float(longest)
    seen.runs, seen.failed = now["probe_runs_total"], now["probe_failures_total"]
    seen.missed = now["deploywatch_exporter_missed_runs_total"]
    seen.start_p99 = _quantile(now, _LAG, 0.99)
    seen.loop_looks, seen.loop_p999 = now[f"{_LOOP}_count"], _quantile(now, _LOOP, 0.999)
    seen.loop_over_50ms = seen.loop_looks - now[f"{_LOOP}_bucket 0.05"]
    await asyncio.to_thread(server.child.stop)
    return seen


def _values(text: str) -> dict[str, float]:
    """The sum of the series of each name; a bucket's name has its bound behind it."""
    numbers: dict[str, float] = {}
    wanted = ("probe_runs_total", "probe_failures_total", "deploywatch_exporter_")
    lines = "".join(f"{line}\n" for line in text.splitlines() if line.startswith(wanted))
    for family in text_string_to_metric_families(lines):
        for sample in family.samples:
            name = f"{sample.name} {sample.labels['le']}" if "le" in sample.labels else sample.name
            numbers[name] = numbers.get(name, 0.0) + sample.value
    return numbers


def _quantile(values: dict[str, float], name: str, share: float) -> float:
    """The upper bound of the bucket in which this share of all is reached."""
    prefix = f"{name}_bucket "
    buckets = sorted(
        (float(key.removeprefix(prefix)), value) for key, value in values.items() if key.startswith(prefix)
    )
    return next(bound for bound, count in buckets if count >= share * values[f"{name}_count"])


def _resident(pid: int) -> int:
    """Bytes of memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
