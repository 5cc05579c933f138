"""How long policies take to build, and what their rules cost Prometheus: `scripts/bench rules`, about 13 minutes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.rules import load
from bench.rules.prometheus import Measured, running
from deploywatch.grafana.dashboards import dashboard_files
from deploywatch.rules.build import build
from deploywatch.rules.builtin_policies import POLICIES
from deploywatch.rules.loading import load_all

BUILDS, EVALUATIONS = 7, 3
TARGET_BUILD_SECONDS, TARGET_SHARE, CORES = 2.0, 0.10, 2

NOTHING = "no rules"
PEERS = {"one policy": "one by hand", "1,000 policies": "1,000 by hand"}
"""What is generated, and the same by hand."""


def builds(console: Console) -> None:
    """(a) All shipped policies, from YAML to every generated text."""
    paths = sorted(POLICIES.glob("*.yml"))
    names = [path.stem for path in paths]
    table = Table("build", "files", "median", "fastest", "slowest", "target", title=f"{len(names)} policies: {names}")
    with tempfile.TemporaryDirectory() as folder:
        files = build(load_all(paths), more=[dashboard_files])
        command = [sys.executable, "-m", "deploywatch", "rules", "build", *map(str, paths), "--out", folder]
        for name, run in (
            ("in this process", lambda: build(load_all(paths), more=[dashboard_files])),
            ("`deploywatch rules build`", lambda: subprocess.run(command, check=True, capture_output=True)),
        ):
            times = sorted(_timed(run) for _ in range(BUILDS))
            row = (f"{seconds:.2f} s" for seconds in (median(times), times[0], times[-1], TARGET_BUILD_SECONDS))
            table.add_row(name, str(len(files)), *row)
    console.print(table)


def evaluation(console: Console) -> None:
    """(b) Ten alerts for a thousand services, as generated and by hand; first no rules, for what scrapes cost alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = _sets(folder)
        measured: dict[str, Measured] = {}
        with running(folder / "prometheus") as bench:
            for which, rules in sets.items():
                console.print(f"measuring: {which}", style="dim")
                measured[which] = bench.evaluate(rules, EVALUATIONS)
            console.print(_table(measured, bench.series()))
    console.print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _sets(folder: Path) -> dict[str, Path]:
    sets = {name: folder / name.replace(" ", "-") for name in (NOTHING, *PEERS, *PEERS.values())}
    for path in sets.values():
        path.mkdir()
    load.generated([load.policy()], sets["one policy"])
    load.by_hand(['service=~"service-.*"'], sets["one by hand"])
    load.generated(load.policies(), sets["1,000 policies"])
    load.by_hand((f'service="{service}"' for service in load.SERVICES), sets["1,000 by hand"])
    return sets


def _table(measured: dict[str, Measured], series: int) -> Table:
    table = Table(
        *("rules", "groups' seconds", "of the interval", "by hand / generated", "spread"),
        *("processor", "of two cores", "by hand / generated", "alerts firing", "missed"),
        title=f"{len(load.ALERTS)} alerts for {len(load.SERVICES)} services, {series} series, every {load.INTERVAL} s",
        caption=f"target: under {TARGET_SHARE:.0%} of the interval; medians of {EVALUATIONS} evaluations; "
        f"processor: without the {measured[NOTHING].busy:.2f} s that scrapes take",
    )
    idle = measured.pop(NOTHING).busy
    for name, numbers in measured.items():
        peer, busy = measured.get(PEERS.get(name, "")), numbers.busy - idle
        table.add_row(
            *(name, f"{numbers.median:.2f} s", f"{numbers.median / load.INTERVAL:.1%}"),
            f"{peer.median / numbers.median:.2f}" if peer else "",
            f"{numbers.spread:.0%}",
            *(f"{busy:.2f} s", f"{busy / load.INTERVAL / CORES:.1%}"),
            f"{(peer.busy - idle) / busy:.2f}" if peer else "",
            *(str(numbers.firing), str(numbers.missed)),
        )
    return table


def _timed(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both parts, or one."""
    parser = argparse.ArgumentParser(prog="bench.rules", description=__doc__)
    parser.add_argument("--only", choices=("builds", "evaluation"), help="this part alone")
    only = parser.parse_args(arguments).only
    console = Console(width=160)
    for part in (builds, evaluation):
        if only in (None, part.__name__):
            part(console)


if __name__ == "__main__":
    main()
