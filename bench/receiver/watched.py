"""What pages that renew themselves cost those who send webhooks: the same load with no stream and with fifty.

`watched` has the pages load themselves anew as well; `streams` has many short pairs of rounds with a receiver that
tells ten times as often as it does, and says within what a tenth of the differences is to be expected, 19 times of 20.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import comb
from statistics import median, quantiles

from rich.console import Console
from rich.table import Table

from bench.exporter.cpu import cpu_seconds
from bench.receiver.load import Load, Seen
from bench.receiver.often import TIMES
from bench.receiver.servers import READER, Place, Plan, post
from bench.receiver.watchers import Heard
from deploywatch.demo.servers import Running

STREAMS, SECONDS = 50, 5.0
RATE, ALERTS = 50.0, 2
SHORT_SECONDS, SHORT_RATE = 4.0, 100.0
_numbers = count(start=5_000_000, step=100_000)


@dataclass(slots=True)
class _Side:
    """The rounds of one way to be watched."""

    name: str
    streams: int
    pages: bool
    rounds: list[Seen] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)


def watched(console: Console, place: Place, inbox: Running, plan: Plan) -> None:
    """(e) How much later webhooks are answered while fifty pages are open, and what that costs the processor."""
    server = place.receiver("watched", place.database("watched"), inbox)
    sides = [
        _Side("nobody listens", 0, pages=False),
        _Side(f"{STREAMS} streams", STREAMS, pages=False),
        _Side(f"{STREAMS} pages, which load themselves anew", STREAMS, pages=True),
    ]
    post(Load(server.port, ALERTS, True, SECONDS, 32, rate=RATE, first=next(_numbers)))  # opens the incidents
    for turn in range(plan.rounds + 1):
        for side in sides if turn % 2 else reversed(sides):
            seen, heard = _round(server, side)
            assert not seen.bad, f"{seen.bad} answers were not 200: {seen.refusal}"
            if turn:  # the first warms up
                side.rounds.append(seen)
                side.heard.append(heard)
    console.print(_table(sides))
    server.child.stop()


def streams(console: Console, place: Place, inbox: Running, plan: Plan) -> None:
    """(g) The streams alone: pairs of short rounds, and a tenth of the differences of each pair."""
    server = place.receiver("streams", place.database("streams"), inbox, "bench.receiver.often")
    alone, told = _Side("nobody listens", 0, pages=False), _Side(f"{STREAMS} streams", STREAMS, pages=False)
    post(
        Load(server.port, ALERTS, True, SHORT_SECONDS, 32, rate=SHORT_RATE, first=next(_numbers))
    )  # opens the incidents
    for turn in range(plan.rounds):
        for side in (alone, told) if turn % 2 else (told, alone):
            seen, heard = _round(server, side, SHORT_SECONDS, SHORT_RATE)
            assert not seen.bad, f"{seen.bad} answers were not 200: {seen.refusal}"
            side.rounds.append(seen)
            side.heard.append(heard)
    measures: dict[str, Callable[[Seen], float]] = {
        "99 of 100": lambda seen: seen.quantile(99),
        "median": lambda seen: seen.quantile(50),
        "CPU a second": lambda seen: seen.cpu / seen.seconds,
    }
    for what, measure in measures.items():
        pairs = zip(alone.rounds, told.rounds, strict=True)
        ratios = [(measure(b) / measure(a) - 1) / TIMES for a, b in pairs]
        low, high = _interval(ratios)
        before = median(measure(seen) for seen in alone.rounds)
        console.print(
            f"{what}: {before * 1000:.2f} ms with nobody; {STREAMS} streams: {median(ratios):+.1%} "
            f"({low:+.1%} to {high:+.1%}), of {len(ratios)} pairs"
        )
        console.print(" ".join(f"{100 * ratio:+.1f}" for ratio in ratios))
    seconds = sum(own.seconds for own in told.rounds)
    console.print(f"{sum(h.messages for h in told.heard) / seconds:.0f} messages a second, {TIMES} times what they are")
    server.child.stop()


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which two of six values or more the median of all that could be is, with 95 %, by the binomial."""
    ordered, count = sorted(values), len(values)
    below, tail = 0, 0.5**count
    while below + 1 <= count // 2 and tail + comb(count, below + 1) * 0.5**count <= 0.025:
        below += 1
        tail += comb(count, below) * 0.5**count
    return ordered[below], ordered[count - 1 - below]


def _round(server: Running, side: _Side, seconds: float = SECONDS, rate: float = RATE) -> tuple[Seen, Heard]:
    load = Load(server.port, ALERTS, True, seconds, 32, rate=rate, first=next(_numbers))
    with _listening(server.port, side) as heard:
        cpu = cpu_seconds(server.child.process.pid)
        seen = post(load)
        seen.cpu = cpu_seconds(server.child.process.pid) - cpu
    return seen, heard


@contextlib.contextmanager
def _listening(port: int, side: _Side) -> Iterator[Heard]:
    """So many listen within; what they heard is known after it."""
    heard = Heard()
    if not side.streams:
        yield heard
        return
    order = json.dumps({"port": port, "streams": side.streams, "pages": side.pages, "token": READER})
    command = [sys.executable, "-m", "bench.receiver.watchers", order]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield heard
        finally:
            process.terminate()
        for name, number in json.loads(process.stdout.read()).items():
            setattr(heard, name, number)


def _table(sides: list[_Side]) -> Table:
    """All rounds of a side together, and each round beside the one that nobody listened to."""
    heads = ("", "median", "99 of 100", "99 of 100, beside nobody", "round by round", "CPU a second", "beside nobody")
    alone = sides[0]
    title = f"{RATE:g} webhooks/s of {ALERTS} new alerts; {len(alone.rounds)} rounds of {SECONDS:g} s in turns"
    table = Table(
        *heads, "messages, pages a second", title=title, caption="goal: streams cost less than 5 % of 99 of 100"
    )
    usual, spent = _at(alone, 99), _cpu(alone)
    for side in sides:
        pairs = [own.quantile(99) / none.quantile(99) for own, none in zip(side.rounds, alone.rounds, strict=True)]
        seconds = sum(own.seconds for own in side.rounds)
        heard = f"{sum(h.messages for h in side.heard) / seconds:.1f}, {sum(h.pages for h in side.heard) / seconds:.1f}"
        ratio = f"{100 * (median(pairs) - 1):+.0f} % ({100 * (min(pairs) - 1):+.0f} to {100 * (max(pairs) - 1):+.0f})"
        table.add_row(
            side.name,
            f"{_at(side, 50) * 1000:.1f} ms",
            f"{_at(side, 99) * 1000:.1f} ms",
            f"{100 * (_at(side, 99) / usual - 1):+.1f} %",
            ratio,
            f"{_cpu(side) * 1000:.0f} ms",
            f"{100 * (_cpu(side) / spent - 1):+.1f} %",
            heard,
        )
    return table


def _at(side: _Side, hundredths: int) -> float:
    return quantiles([time for seen in side.rounds for time in seen.times], n=100)[hundredths - 1]


def _cpu(side: _Side) -> float:
    return sum(seen.cpu for seen in side.rounds) / sum(seen.seconds for seen in side.rounds)
