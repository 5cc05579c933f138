"""How fast the receiver takes webhooks in, how soon it answers, what a storm or a backlog costs."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.receiver.backlog import backlog
from bench.receiver.fairness import fairness
from bench.receiver.floor import floor
from bench.receiver.load import Load
from bench.receiver.servers import STORES, Place, Plan, due, fill, get, peak_megabytes, post
from bench.receiver.throughput import ALERTS, CONNECTIONS, in_turns, numbers, poster, rates, throughput
from bench.receiver.watched import streams, watched
from deploywatch.demo.processes import Processes, wait_until
from deploywatch.demo.servers import Running

RATE, ALERTS_AT_RATE = 100.0, 100
STORM, STORM_SERVICES = 10_000, 500
FEW, MANY = 1_000, 100_000


def steady(console: Console, place: Place, inbox: Running, _: Plan) -> None:
    """(b) How soon webhooks are answered that come at a rate."""
    heads = ("", "answered", "median", "99 of 100", "longest")
    table = Table(
        *heads, title=f"{RATE:g} webhooks/s of {ALERTS_AT_RATE} alerts", caption="goal: 99 of 100 in under 1 s"
    )
    server = place.receiver("steady", place.database("steady"), inbox)
    for name, new in (("alerts that are known", False), ("alerts never seen before", True)):
        load = Load(server.port, ALERTS_AT_RATE, new, 15.0, 64, rate=RATE, first=next(numbers))
        if not new:
            post(load)  # they are known from here on
        seen = post(load)
        times = (f"{seconds * 1000:.0f} ms" for seconds in (seen.quantile(50), seen.quantile(99), max(seen.times)))
        table.add_row(name, f"{seen.good} with 200, {seen.bad} not", *times)
    console.print(table)
    server.child.stop()


def storm(console: Console, place: Place, inbox: Running, _: Plan) -> None:
    """(c) Ten thousand alerts at once, until nothing is left to do."""
    database = place.database("storm")
    server = place.receiver("storm", database, inbox)
    begun = time.perf_counter()
    load = Load(server.port, ALERTS, True, 60.0, CONNECTIONS, services=STORM_SERVICES, most=STORM // ALERTS)
    seen = post(load)
    taken_in = time.perf_counter() - begun
    wait_until(lambda: due(database) == 0, within=300, what="settle the storm")
    settled = time.perf_counter() - begun
    messages = len(get(inbox, "/inbox").split('"title"')) - 1
    console.print(
        f"storm: {seen.good * ALERTS} alerts of {STORM_SERVICES} services taken in after {taken_in:.1f} s, "
        f"settled after {settled:.1f} s (goal 60 s), {messages} messages in the inbox, "
        f"{peak_megabytes(server):.0f} MB at most (goal 300 MB)"
    )
    server.child.stop()


def history(console: Console, place: Place, inbox: Running, plan: Plan) -> None:
    """(d) Whether a hundred thousand stored incidents slow anything down."""
    stores = {f"{number:,} incidents stored": place.database(f"history-{number}") for number in (FEW, MANY)}
    for database, number in zip(stores.values(), (FEW, MANY), strict=True):
        fill(database, number)
    running = {name: place.receiver(f"history-{index}", url, inbox) for index, (name, url) in enumerate(stores.items())}
    for new, what in ((False, "known"), (True, "new")):
        measured = in_turns(console, {name: poster(server, new=new) for name, server in running.items()}, plan.rounds)
        title = f"{ALERTS} alerts a webhook, {what} ones"
        console.print(rates(title, measured, next(iter(running)), goal="about 1"))
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
        get(server, path)
        times.append(time.perf_counter() - begun)
    return median(times)


PARTS = {
    part.__name__: part for part in (throughput, steady, storm, history, backlog, fairness, floor, watched, streams)
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all of it, or the parts that are named."""
    parser = argparse.ArgumentParser(prog="bench.receiver", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them without any")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each comparison")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES, help="on these alone")
    parser.add_argument("--alerts", choices=("known", "new", "both"), default="both", help="throughput of which")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    console, plan = Console(width=190), Plan(options.rounds, tuple(options.stores), options.alerts)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything here is on this machine
    for part in options.parts or PARTS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o711)  # PostgreSQL's user has to reach its folder
            with Processes(folder / "logs") as processes:
                place = Place(processes, folder)
                PARTS[part](console, place, place.inbox(), plan)
    console.print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
