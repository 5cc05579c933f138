"""How fast the receiver takes webhooks in, how soon it answers, and what a storm costs: `scripts/bench receiver`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.exporter.cpu import cpu_seconds
from bench.receiver.load import Load, Seen
from bench.receiver.servers import Place, due, fill, peak_megabytes, post
from deploywatch.demo.processes import Processes, wait_until
from deploywatch.demo.servers import Running

ROUNDS, SECONDS, CONNECTIONS, ALERTS = 8, 2.0, 32, 10
RATE, ALERTS_AT_RATE = 100.0, 100
STORM, STORM_SERVICES = 10_000, 500
FEW, MANY = 1_000, 100_000
_numbers = count(step=10_000_000)
"""Where the numbers of a round's new alerts begin."""


def throughput(console: Console, place: Place, inbox: Running) -> None:
    """(a) Durable webhooks against a handler that stores nothing; one receiver at a time, in turns with the handler."""
    peer = _poster(place.bare(), new=False)
    for new, which in ((False, "that are known"), (True, "never seen before")):
        for store, database in (("SQLite", place.database), ("PostgreSQL", place.postgres)):
            name = f"{store}-{'new' if new else 'known'}"
            server = place.receiver(name, database(name), inbox)
            ours = f"{store}, alerts {which}"
            found = _in_turns(console, {"parses JSON, stores nothing": peer, ours: _poster(server, new=new)})
            title = f"{ALERTS} alerts a webhook, {CONNECTIONS} connections"
            console.print(_rates(title, found, next(iter(found)), goal="0.50"))
            server.child.stop()


def _poster(server: Running, *, new: bool) -> Callable[[], Seen]:
    def run() -> Seen:
        cpu = cpu_seconds(server.child.process.pid)
        seen = post(Load(server.port, ALERTS, new, SECONDS, CONNECTIONS, first=next(_numbers)))
        seen.cpu = cpu_seconds(server.child.process.pid) - cpu
        return seen

    return run


def _in_turns(console: Console, posters: Mapping[str, Callable[[], Seen]]) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {name: [] for name in posters}
    for turn in range(ROUNDS + 1):
        for name, run in posters.items():
            console.print(f"round {turn} of {ROUNDS}: {name}", style="dim")
            seen = run()
            assert not seen.bad, f"{name}: {seen.bad} answers were not 200"
            if turn:  # the first warms up
                found[name].append(seen)
    return found


def _rates(title: str, found: Mapping[str, list[Seen]], peer: str, *, goal: str) -> Table:
    rates_heads = ("webhooks/s: min", "median", "max", "of the first, round by round")
    heads = ("", *rates_heads, "CPU for each", "first's CPU / it", "answered in: median", "99 of 100")
    table = Table(*heads, title=title, caption=f"goal: at least {goal} of the first; {ROUNDS} rounds of {SECONDS:g} s")
    usual_cpu = median(seen.cpu / seen.good for seen in found[peer])
    for name, many in found.items():
        rates = [seen.rate for seen in many]
        shown = [f"{rate:.0f}" for rate in (min(rates), median(rates), max(rates))]
        ratios = [rate / usual.rate for rate, usual in zip(rates, found[peer], strict=True)]
        ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        times = [f"{median(seen.quantile(at) for seen in many) * 1000:.1f} ms" for at in (50, 99)]
        cpu = median(seen.cpu / seen.good for seen in many)
        costs = f"{cpu * 1e6:.0f} µs", f"{usual_cpu / cpu:.2f}"
        table.add_row(name, *shown, ratio, *costs, *times)
    return table


def steady(console: Console, place: Place, inbox: Running) -> None:
    """(b) How soon webhooks are answered that come at a rate."""
    heads = ("", "answered", "median", "99 of 100", "longest")
    table = Table(
        *heads, title=f"{RATE:g} webhooks/s of {ALERTS_AT_RATE} alerts", caption="goal: 99 of 100 in under 1 s"
    )
    server = place.receiver("steady", place.database("steady"), inbox)
    for name, new in (("alerts that are known", False), ("alerts never seen before", True)):
        load = Load(server.port, ALERTS_AT_RATE, new, 15.0, 64, rate=RATE, first=next(_numbers))
        if not new:
            post(load)  # they are known from here on
        seen = post(load)
        times = (f"{seconds * 1000:.0f} ms" for seconds in (seen.quantile(50), seen.quantile(99), max(seen.times)))
        table.add_row(name, f"{seen.good} with 200, {seen.bad} not", *times)
    console.print(table)
    server.child.stop()


def storm(console: Console, place: Place, inbox: Running) -> None:
    """(c) Ten thousand alerts at once, until nothing is left to do."""
    database = place.database("storm")
    server = place.receiver("storm", database, inbox)
    begun = time.perf_counter()
    load = Load(server.port, ALERTS, True, 60.0, CONNECTIONS, services=STORM_SERVICES, most=STORM // ALERTS)
    seen = post(load)
    taken_in = time.perf_counter() - begun
    wait_until(lambda: due(database) == 0, within=300, what="settle the storm")
    settled = time.perf_counter() - begun
    told = len(_get(inbox, "/inbox").split('"title"')) - 1
    console.print(
        f"storm: {seen.good * ALERTS} alerts of {STORM_SERVICES} services taken in after {taken_in:.1f} s, "
        f"settled after {settled:.1f} s (goal 60 s), {told} messages in the inbox, "
        f"{peak_megabytes(server):.0f} MB at most (goal 300 MB)"
    )
    server.child.stop()


def history(console: Console, place: Place, inbox: Running) -> None:
    """(d) Whether a hundred thousand stored incidents slow anything down."""
    stores = {f"{number:,} incidents stored": place.database(f"history-{number}") for number in (FEW, MANY)}
    for database, number in zip(stores.values(), (FEW, MANY), strict=True):
        fill(database, number)
    running = {name: place.receiver(f"history-{index}", url, inbox) for index, (name, url) in enumerate(stores.items())}
    for new, what in ((False, "known"), (True, "new")):
        found = _in_turns(console, {name: _poster(server, new=new) for name, server in running.items()})
        title = f"{ALERTS} alerts a webhook, {what} ones"
        console.print(_rates(title, found, next(iter(running)), goal="about 1"))
    paths = (
        "/api/v1/incidents?limit=100",
        "/api/v1/incidents?status=open&limit=100",
        "/api/v1/incidents/500",
        "/metrics",
    )
    table = Table("asked for", *running, title="median of 20 answers")
    for path in paths:
        table.add_row(path, *(f"{_asked(server, path) * 1000:.0f} ms" for server in running.values()))
    console.print(table)


def _asked(server: Running, path: str) -> float:
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        _get(server, path)
        times.append(time.perf_counter() - begun)
    return median(times)


def _get(server: Running, path: str) -> str:
    with urllib.request.urlopen(server.url + path, timeout=60) as answer:  # noqa: S310 - always http on loopback
        return str(answer.read().decode())


def main() -> None:
    """Run all of it, or the parts that are named: throughput, steady, storm, history."""
    console = Console(width=190)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything here is on this machine
    wanted = sys.argv[1:]
    for part in (throughput, steady, storm, history):
        if wanted and part.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o711)  # PostgreSQL's user has to reach its folder
            with Processes(folder / "logs") as processes:
                place = Place(processes, folder)
                part(console, place, place.inbox())
    console.print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
