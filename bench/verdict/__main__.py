"""Simulates canaries and prints, for each service, how each method does."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from random import Random
from statistics import median

from bench.verdict.bound import most_found
from bench.verdict.methods import ENOUGH, METHODS
from bench.verdict.traffic import LOOK, STAGE_LOOKS, Service, simulate

RATES, CLUMPS, RATIOS, FAULTS = (20, 200), (1, 5), (0.001, 0.003, 0.01), (2, 3, 5, 10)
MOST_FALSE = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method did with the runs of a row: the share that it rolled back, and the median of minutes over all runs,
    infinite where it found fewer than half."""

    found: float
    minutes: float

    def __str__(self) -> str:
        minutes = "–" if math.isinf(self.minutes) else f"{self.minutes:g} min"
        return f"{100 * self.found:.0f} %, {minutes}"


@dataclass(frozen=True, slots=True)
class Row:
    """A service: how often each method rolls a healthy canary back, and how it does with each fault."""

    service: Service
    false: dict[str, float]
    faults: dict[int, dict[str, Outcome]]

    def shortfalls(self) -> Iterator[str]:
        """Where deploywatch does not keep its goals here."""
        if self.false["deploywatch"] > MOST_FALSE:
            yield f"false rollbacks {100 * self.false['deploywatch']:.1f} %"
        for times, outcomes in self.faults.items():
            own = outcomes["deploywatch"]
            for name, other in outcomes.items():
                compared = name == "Kayenta" or (name != "deploywatch" and self.false[name] <= MOST_FALSE)
                if compared and (other.minutes, -other.found) < (own.minutes, -own.found):
                    yield f"{times} times: {name} {other}, deploywatch {own}; {self._bound(times, other)}"

    def _bound(self, times: int, other: Outcome) -> str:
        """The most that any test finds by then which keeps what is promised of each limit in each stage."""
        minutes = other.minutes if math.isfinite(other.minutes) else STAGE_LOOKS * LOOK / 60
        most = most_found(self.service, times, minutes, math.exp(-ENOUGH))
        return (
            f"whoever rolls back {math.exp(-ENOUGH):.2%} of the healthy finds {most:.0%} within {minutes:g} min at most"
        )


def measure(service: Service, healthy: int, faulty: int, seed: int = 0) -> Row:
    """Simulates a row; the seed is the service's own too, so that rows do not depend on each other."""
    random = Random(f"{seed} {service}")  # noqa: S311 - a simulation that can be repeated
    false = dict.fromkeys(METHODS, 0)
    for _ in range(healthy):
        run = simulate(service, 1, random)
        for name, method in METHODS.items():
            false[name] += method(service, run) is not None
    faults = {}
    for times in FAULTS:
        ends: dict[str, list[float]] = {name: [] for name in METHODS}
        for _ in range(faulty):
            run = simulate(service, times, random)
            for name, method in METHODS.items():
                end = method(service, run)
                ends[name].append(math.inf if end is None else end * LOOK / 60)
        faults[times] = {
            name: Outcome(sum(map(math.isfinite, minutes)) / faulty, median(minutes)) for name, minutes in ends.items()
        }
    return Row(service, {name: count / healthy for name, count in false.items()}, faults)


def services() -> list[Service]:
    """All services that are simulated."""
    return [Service(rate, ratio, clump) for rate, clump, ratio in product(RATES, CLUMPS, RATIOS)]


def table(rows: list[Row]) -> str:
    """The rows as tables, and after them each goal that was missed."""
    names = list(METHODS)
    head, rule = "| service | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"
    lines = ["Healthy canaries that were rolled back:", "", head, rule]
    lines += [_line(row, [f"{100 * row.false[name]:.1f} %" for name in names]) for row in rows]
    for times in FAULTS:
        lines += ["", f"Canaries that fail {times} times as often: share found, median time to find:", "", head, rule]
        lines += [_line(row, [str(row.faults[times][name]) for name in names]) for row in rows]
    missed = [f"- {_name(row.service)}: {text}" for row in rows for text in row.shortfalls()]
    return "\n".join([*lines, "", f"Goals missed: {len(missed) or 'none'}", *missed])


def _line(row: Row, cells: list[str]) -> str:
    return f"| {_name(row.service)} | " + " | ".join(cells) + " |"


def _name(service: Service) -> str:
    return f"{service.rate:g}/s, {100 * service.ratio:g} %, {'clumps' if service.clump > 1 else 'single'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="bench.verdict", description=__doc__)
    parser.add_argument("--healthy", type=int, default=1000, help="healthy canaries a service")
    parser.add_argument("--faulty", type=int, default=100, help="canaries a service and fault")
    parser.add_argument("--seed", type=int, default=0, help="other runs of the same services")
    options = parser.parse_args(arguments)
    numbers = (options.healthy, options.faulty, options.seed)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = pool.map(measure, services(), *([n] * len(services()) for n in numbers))
        print(table(list(rows)))


if __name__ == "__main__":
    main()
