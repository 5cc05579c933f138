"""How soon people are told after the commit, and whether a channel that hangs delays the others."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median, quantiles

import asyncpg
from rich.console import Console
from rich.table import Table

from bench.exporter.cpu import cpu_seconds
from bench.receiver.servers import Place
from bench.receiver_actions.sides import TEAMS, Sides, Told
from deploywatch.demo.processes import Processes
from deploywatch.receiver.store import Store

RATE, SECONDS, ROUNDS = 50.0, 20.0, 6
CHANNELS = ("slack", "pagerduty", "email", "webhook")
_SECRET = "of-no-importance-here"  # noqa: S105 - it is not


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the stand-ins listen."""

    http: int
    smtp: int
    fifth: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run: so many rounds of so many incidents a second for so many seconds."""

    rounds: int
    rate: float
    seconds: float


@dataclass(slots=True)
class Rounds:
    """What the rounds of one store saw, with a fifth channel that answers, and with one that hangs."""

    answers: list[Told] = field(default_factory=list)
    hangs: list[Told] = field(default_factory=list)


def settings(database: str, ports: Ports) -> dict[str, object]:
    """A receiver whose channels are all on this machine."""
    inbox = f"http://127.0.0.1:{ports.http}"
    slack = {"kind": "slack", "token": "xoxb-1", "base_url": f"{inbox}/api/"}
    mail = {"kind": "email", "smtp": f"127.0.0.1:{ports.smtp}", "security": "none"}
    return {
        "database": database,
        "channels": {
            **{f"slack-{team}": {**slack, "channel": f"C{team:08}"} for team in range(TEAMS)},
            "pagerduty": {"kind": "pagerduty", "routing_key": "0" * 32, "url": inbox},
            "mail": {**mail, "sender": "deploywatch@example.com", "recipients": ["on-call@example.com"]},
            "webhook": {"kind": "webhook", "url": f"{inbox}/webhook", "secret": _SECRET},
            "fifth": {"kind": "webhook", "url": f"http://127.0.0.1:{ports.fifth}/", "secret": _SECRET},
        },
    }


def once(place: Place, name: str, database: str, plan: Plan, *, hangs: bool) -> Told:
    """A new receiver, its webhooks, and what came of them."""
    ports = Ports(*(place.processes.free_port() for _ in range(3)))
    server = place.receiver_with(name, settings(database, ports))
    sides = Sides(server.port, ports.http, ports.smtp, ports.fifth, plan.rate, plan.seconds, hangs)
    cpu = cpu_seconds(server.child.process.pid)
    both = [sys.executable, "-m", "bench.receiver_actions.sides", json.dumps(asdict(sides))]
    done = subprocess.run(both, stdout=subprocess.PIPE, text=True, check=True)
    answer = Told(**json.loads(done.stdout))
    answer.cpu = cpu_seconds(server.child.process.pid) - cpu
    server.child.stop()
    return answer


def in_turns(console: Console, place: Place, name: str, database: Callable[[str], str], plan: Plan) -> Rounds:
    """All rounds on one kind of store, each on a new database."""
    rounds = Rounds()
    for turn in range(1, plan.rounds + 1):
        kinds = [("answers", rounds.answers), ("hangs", rounds.hangs)]
        for kind, seen in kinds if turn % 2 else reversed(kinds):
            url = database(f"{name.lower()}_{turn}_{kind}")
            answer = once(place, f"{name}-{turn}-{kind}", url, plan, hangs=kind == "hangs")
            whole = (
                f"99 of 100 after {p99(_of(answer.after_commit, 'all four')):.0f} ms, {answer.fifth} begun on the fifth"
            )
            bad = f"{answer.bad} webhooks not answered with 200, {answer.missing} messages missing"
            load = os.getloadavg()[0]
            console.print(f"{name} {turn}, the fifth {kind}: {whole}; {bad}; load average {load:.1f}", style="dim")
            seen.append(answer)
    return rounds


def p99(times: Sequence[float]) -> float:
    """In milliseconds."""
    return quantiles(times, n=100)[98] * 1000


def table(name: str, rounds: Rounds, plan: Plan) -> Table:
    """The rows of one store."""
    heads = ("", "median", "99 of 100", "since it was due: 99 of 100", "one channel hangs: 99 of 100", "changes by")
    title = (
        f"{name}: from commit to channel, ms, {plan.rate:g} incidents/s; median (min to max) of {plan.rounds} rounds"
    )
    times_table = Table(*heads, title=title, caption="goals: 99 of 100 under 250 ms; changes by less than 10 %")
    for channel in (*CHANNELS, "all four"):
        before = [_of(answer.after_commit, channel) for answer in rounds.answers]
        in_all = [_of(answer.in_all, channel) for answer in rounds.answers]
        beside = [_of(answer.after_commit, channel) for answer in rounds.hangs]
        changes = [_change(a, b) for a, b in zip(before, beside, strict=True)]
        together = _change(*(list(chain.from_iterable(rounds)) for rounds in (before, beside)))
        middle = [median(times) * 1000 for times in before]
        columns = (
            middle,
            [p99(times) for times in before],
            [p99(times) for times in in_all],
            [p99(times) for times in beside],
        )
        change = f"{together:.0f} % ({min(changes):.0f} to {max(changes):.0f})"
        times_table.add_row(channel, *map(_spread, columns), change)
    return times_table


def _change(before: Sequence[float], beside: Sequence[float]) -> float:
    """By how many per cent the 99th of 100 is later."""
    return 100 * (p99(beside) / p99(before) - 1)


def _of(times: dict[str, list[float]], channel: str) -> list[float]:
    return times[channel] if channel in times else [seconds for some in times.values() for seconds in some]


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def _tenths(values: Sequence[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _stores(place: Place) -> dict[str, tuple[str, Callable[[], Callable[[str], str]]]]:
    """The stores by name: how each is shown, and what makes a new database there and gives its URL."""

    def postgresql() -> Callable[[str], str]:
        url = place.postgres("postgres")

        def make(name: str) -> str:
            asyncio.run(_create(url, name))
            return f"{url.rpartition('/')[0]}/{name}"

        return make

    return {"sqlite": ("SQLite", lambda: place.database), "postgresql": ("PostgreSQL", postgresql)}


async def _create(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f'create database "{name}"')
    await connection.close()
    store = Store(f"{url.rpartition('/')[0]}/{name}")
    await store.migrate()
    await store.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it on both stores, or on those that are named."""
    parser = argparse.ArgumentParser(prog="bench.receiver_actions", description=__doc__)
    parser.add_argument("stores", nargs="*", metavar="STORE", help="sqlite, postgresql, or both without any")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each kind")
    parser.add_argument("--rate", type=float, default=RATE, help="incidents a second")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long a round posts")
    options = parser.parse_args(arguments)
    wanted = options.stores or ["sqlite", "postgresql"]
    if unknown := set(wanted) - {"sqlite", "postgresql"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are sqlite and postgresql")
    console, plan = Console(width=160), Plan(options.rounds, options.rate, options.seconds)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything here is on this machine
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user has to reach its folder
        with Processes(folder / "logs") as processes:
            place = Place(processes, folder)
            for kind in wanted:
                shown, databases = _stores(place)[kind]
                rounds = in_turns(console, place, shown, databases(), plan)
                console.print(table(shown, rounds, plan))
                for whose in ("cpu", "sides"):
                    cpu = [1000 * getattr(answer, whose) / (plan.rate * plan.seconds) for answer in rounds.answers]
                    who = "the receiver" if whose == "cpu" else "both sides"
                    console.print(f"{shown}: processor time of {who} for each incident: {_tenths(cpu)} ms")
    console.print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
