"""The exporter's benchmark, with its peers side by side in one run: python -m bench.exporter [--minutes N] [--only …].

Machines differ and are shared: what counts are ratios. Each figure is the median of several rounds, with the least and
the most beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trustme

from bench.exporter import cpu, floor, lock, metrics, schedule, start
from bench.exporter.cpu import Setting, addresses
from deploywatch.demo.processes import Processes

PARTS = ("http", "tls", "floor", "metrics", "schedule", "many", "lock", "start", "check")
_TARGETS = 1000


def spread(values: list[float], unit: str, factor: float = 1.0) -> str:
    """Median, least and most."""
    low, middle, high = (factor * value for value in (min(values), statistics.median(values), max(values)))
    return f"{middle:.4g} {unit} ({low:.4g} to {high:.4g})"


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Ours by theirs, round by round."""
    # By round: what the machine does besides hits both sides of a round, and goes out of the ratio.
    return [own / other for own, other in zip(ours, theirs, strict=True)]


def verdict(value: float, goal: float) -> str:
    """Whether a figure is as it should be."""
    return f"goal at most {goal:g}: {'met' if value <= goal else 'MISSED'}"


class Bench:
    """Runs the parts and prints what they found."""

    def __init__(self, processes: Processes, folder: Path, minutes: float, rounds: int) -> None:
        self._processes, self._folder, self._minutes, self._rounds = processes, folder, minutes, rounds
        self._http, self._tls, self._hang, self._refused = (processes.free_port() for _ in range(4))
        authority = trustme.CA()
        self.authority, certificate = folder / "ca.pem", folder / "certificate.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        authority.issue_cert("bench.example").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        ports = ["--http", self._http, "--tls", self._tls, "--hang", self._hang, "--certificate", certificate]
        processes.start("target", [sys.executable, "-m", "bench.exporter.target", *map(str, ports)])

    async def http(self) -> None:
        """CPU for a plain probe."""
        urls = tuple(f"http://{address}:{self._http}/" for address in addresses(_TARGETS))
        await self._cpu("HTTP", Setting(urls, None, 2.0, 6.0), 0.5)

    async def tls(self) -> None:
        """CPU for a probe over TLS."""
        await self._cpu("HTTPS", Setting(self.tls_urls(_TARGETS), self.authority, 6.0, 6.0), 0.8)

    def tls_urls(self, count: int) -> tuple[str, ...]:
        """Targets over TLS."""
        return tuple(f"https://{address}:{self._tls}/" for address in addresses(count))

    async def _cpu(self, name: str, setting: Setting, goal: float) -> None:
        ours, theirs = await cpu.compare(self._processes, self._folder / name, setting, self._rounds)
        measured = ratios(ours, theirs)
        print(f"CPU for each {name} probe, {len(setting.urls)} targets, fresh connections, scraped with gzip")
        print(f"  deploywatch        {spread(ours, 'us', 1e6)}")
        print(f"  blackbox_exporter  {spread(theirs, 'us', 1e6)}")
        print(f"  ratio              {spread(measured, '')}; {verdict(statistics.median(measured), goal)}")

    async def floor(self) -> None:
        """What no probe can do without."""
        context = ssl.create_default_context(cafile=self.authority)
        for name, probe in (
            ("HTTP", partial(floor.plain, "127.0.0.1", self._http)),
            ("HTTPS", partial(floor.secured, "127.0.0.1", self._tls, context)),
        ):
            spent = await asyncio.to_thread(floor.seconds, probe, 500)
            print(f"The floor of an {name} probe, a blocking socket and OpenSSL alone: {1e6 * spent:.0f} us of CPU")

    async def metrics(self) -> None:
        """The time of /metrics."""
        times = await asyncio.to_thread(metrics.compare, 7)
        measured = ratios(times.ours, times.theirs)
        print(f"/metrics of {metrics.TARGETS * metrics.FAMILIES} series, equal after parsing")
        print(f"  deploywatch        {spread(times.ours, 'ms', 1e3)}")
        print(f"  generate_latest    {spread(times.theirs, 'ms', 1e3)}")
        print(f"  ratio              {spread(measured, '')}; {verdict(statistics.median(measured), 0.2)}")
        print(f"  rendering all targets anew, which runs do one by one: {spread(times.rendering, 'ms', 1e3)}")

    async def schedule(self) -> None:
        """Punctuality with thousands of targets."""
        await self._watch(schedule.TARGETS, most_memory=286, scrape_every=5.0)

    async def many(self) -> None:
        """The same with four times as many, scraped as often as they are probed."""
        await self._watch(schedule.MANY, most_memory=858, scrape_every=schedule.INTERVAL)

    async def _watch(self, count: int, most_memory: float, scrape_every: float) -> None:
        config = schedule.exporter_config(self._http, self._hang, self._refused, count)
        folder, seconds = self._folder / f"schedule-{count}", 60 * self._minutes
        seen = await schedule.watch(self._processes, folder, config, seconds, scrape_every)
        # Two halves, as a leak is seen in the growth and not in the most.
        half, over = len(seen.memory) // 2, seen.loop_over_50ms
        first, last = (statistics.median(part) / 2**20 for part in (seen.memory[:half], seen.memory[half:]))
        most = max(seen.memory) / 2**20
        print(f"{count} targets every 15 s for {seen.seconds:.0f} s, 5 % hanging, 5 % refusing")
        print(f"  runs {seen.runs:.0f}, failed {seen.failed:.0f}, missed {seen.missed:.0f}")
        print(f"  CPU: {seen.cpu / seen.seconds:.0%} of one processor")
        print(f"  start-time error, p99: at most {seen.start_p99 * 1000:g} ms; {verdict(seen.start_p99, 0.25)}")
        print(f"  memory: {first:.0f} MiB in the first half, {last:.0f} in the second, {most:.0f} at most;", end=" ")
        print(verdict(most, most_memory))
        print(f"  event loop: blocked over 50 ms {over:.0f} times in {seen.loop_looks:.0f} looks,", end=" ")
        print(
            f"p99.9 at most {seen.loop_p999 * 1000:g} ms, longest since the start {seen.loop_longest * 1000:.0f} ms;",
            end=" ",
        )
        print(verdict(over, 0))
        print(
            f"    an idle loop beside it, for the machine's part: {seen.idle_over_50ms} times in {seen.idle_looks},",
            end=" ",
        )
        print(f"longest {seen.idle_longest * 1000:.0f} ms")
        print(f"  /metrics: {seen.text_bytes / 1e6:.1f} MB, answered in {spread(seen.scrape_seconds, 'ms', 1e3)}")

    async def lock(self) -> None:
        """Sessions on a locked database."""
        watch = await lock.watch(self._processes, self._folder, seconds=15)
        print("A database under lock, probed every second for 15 s")
        print(f"  sessions of ours: at most {watch.most} in {watch.looks} looks, {watch.left} at the end;", end=" ")
        print(verdict(watch.most, 1))

    async def start(self) -> None:
        """The first runs of thousands of targets."""
        began = await start.start(self._processes, self._folder / "start")
        print(f"The start of {start.TARGETS} targets of {start.SERVERS} servers, {start.BOUND} at once at each of them")
        print(f"  every one has run after {began.seconds:.1f} s; {verdict(began.seconds, start.INTERVAL)}")
        print(f"    processor time of the exporter until then, the reading of its config too: {began.cpu:.1f} s")
        print(f"  connections that one server saw at once: at most {began.most}; {verdict(began.most, start.BOUND)}")
        print(f"  failed {began.failed:.0f}, missed {began.missed:.0f}")

    async def check(self) -> None:
        """A check of hundreds of probes."""
        outcome = await start.check(self._processes, self._folder)
        print(f"`check` of {start.CHECKED} probes of {start.SERVERS} healthy servers, each within {start.WITHIN}")
        print(f"  failed {len(outcome.failed)}: {outcome.failed[:3]}; {verdict(len(outcome.failed), 0)}")
        print(f"  exit code {outcome.code}, {outcome.seconds:.1f} s, at most {outcome.most} at one server at once")


async def run(arguments: argparse.Namespace) -> None:
    """Run what was asked for."""
    with tempfile.TemporaryDirectory(prefix="deploywatch-bench-") as name, Processes(Path(name) / "logs") as processes:
        bench = Bench(processes, Path(name), arguments.minutes, arguments.rounds)
        await asyncio.sleep(1)
        for part in arguments.only or PARTS:
            await getattr(bench, part)()
            sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="bench.exporter", description="The exporter beside its peers.")
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="how long the 5,000 targets are watched; 5 for all of it"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each comparison of CPU")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="these parts alone")
    asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
