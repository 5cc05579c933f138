"""Throughput: webhooks as fast as they are answered, one server at a time, in turns with its peer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.exporter.cpu import cpu_seconds
from bench.receiver.load import Load, Seen
from bench.receiver.servers import Place, Plan, post
from deploywatch.demo.servers import Running

SECONDS, CONNECTIONS, ALERTS = 2.0, 32, 10
HANDLER = "parses JSON, stores nothing"
GOALS = {
    ("SQLite", False): 0.5,
    ("PostgreSQL", False): 0.28,
    ("SQLite", True): 0.3,
    ("PostgreSQL", True): 0.2,
}
"""The least share of the handler's throughput, by store and by whether the alerts are new."""
numbers = count(step=10_000_000)
"""Where the numbers of a round's new alerts begin."""


def throughput(console: Console, place: Place, inbox: Running, plan: Plan) -> None:
    """(a) Durable webhooks against a handler that stores nothing; one receiver at a time, in turns with the handler."""
    peer = poster(place.bare(), new=False)
    for new, which in ((False, "that are known"), (True, "never seen before")):
        for store in plan.stores:
            if plan.alerts not in ("both", "new" if new else "known"):
                continue
            name = f"{store}-{'new' if new else 'known'}"
            database = place.database(name) if store == "SQLite" else place.postgres(name)
            server = place.receiver(name, database, inbox)
            ours = f"{store}, alerts {which}"
            seen = in_turns(console, {HANDLER: peer, ours: poster(server, new=new)}, plan.rounds)
            title = f"{ALERTS} alerts a webhook, {CONNECTIONS} connections"
            console.print(rates(title, seen, HANDLER, goal=f"{GOALS[store, new]:.2f}"))
            server.child.stop()


def poster(server: Running, *, new: bool) -> Callable[[], Seen]:
    """Posts for one round, and tells what it saw and what processor time the server took."""

    def run() -> Seen:
        cpu = cpu_seconds(server.child.process.pid)
        seen = post(Load(server.port, ALERTS, new, SECONDS, CONNECTIONS, first=next(numbers)))
        seen.cpu = cpu_seconds(server.child.process.pid) - cpu
        return seen

    return run


def in_turns(console: Console, posters: Mapping[str, Callable[[], Seen]], rounds: int) -> dict[str, list[Seen]]:
    """What each saw, round by round; AssertionError when a webhook was not answered with 200."""
    by_name: dict[str, list[Seen]] = {name: [] for name in posters}
    for turn in range(rounds + 1):
        for name, run in posters.items():
            console.print(f"round {turn} of {rounds}: {name}", style="dim")
            seen = run()
            assert not seen.bad, f"{name}: {seen.bad} answers were not 200: {seen.refusal}"
            if turn:  # the first warms up
                by_name[name].append(seen)
    return by_name


def rates(title: str, rounds: Mapping[str, list[Seen]], peer: str, *, goal: str) -> Table:
    """A row for each, with its share of the peer's throughput in the same round."""
    rates_heads = ("webhooks/s: min", "median", "max", "of the first, round by round")
    heads = ("", *rates_heads, "CPU for each", "first's CPU / it", "answered in: median", "99 of 100")
    caption = f"goal: at least {goal} of the first; {len(rounds[peer])} rounds of {SECONDS:g} s"
    table = Table(*heads, title=title, caption=caption)
    usual_cpu = median(seen.cpu / seen.good for seen in rounds[peer])
    for name, many in rounds.items():
        rates = [seen.rate for seen in many]
        shown = [f"{rate:.0f}" for rate in (min(rates), median(rates), max(rates))]
        ratios = [rate / usual.rate for rate, usual in zip(rates, rounds[peer], strict=True)]
        ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        times = [f"{median(seen.quantile(at) for seen in many) * 1000:.1f} ms" for at in (50, 99)]
        cpu = median(seen.cpu / seen.good for seen in many)
        costs = f"{cpu * 1e6:.0f} µs", f"{usual_cpu / cpu:.2f}"
        table.add_row(name, *shown, ratio, *costs, *times)
    return table
