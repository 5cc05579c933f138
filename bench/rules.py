"""How long policies take to build, and what their rules cost Prometheus: `scripts/bench rules`, about nine minutes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench import rules_load as load
from bench.rules_prometheus import Bench, Measured, running
from grafana.dashboards import dashboard_files
from rules.build import build
from rules.loading import load_all
from rules.shipped import POLICIES

BUILDS, ROUNDS, EVALUATIONS = 7, 2, 5
TARGET_BUILD_SECONDS, TARGET_SHARE = 2.0, 0.10


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
    """(b) Ten alerts for a thousand services, as generated and by hand, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = _sets(folder)
        with running(folder / "prometheus") as bench:
            found: dict[str, list[Measured]] = {name: [] for name in sets}
            for turn in range(ROUNDS):
                for which, rules in sets.items():
                    console.print(f"round {turn + 1} of {ROUNDS}: {which}", style="dim")
                    found[which].append(bench.evaluate(rules, EVALUATIONS))
            console.print(_table(found, bench))
    console.print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _sets(folder: Path) -> dict[str, Path]:
    sets = {
        name: folder / name.replace(" ", "-")
        for name in ("one policy", "one by hand", "1,000 policies", "1,000 by hand")
    }
    for path in sets.values():
        path.mkdir()
    load.generated([load.policy()], sets["one policy"])
    load.by_hand(['service=~"service-.*"'], sets["one by hand"])
    load.generated(load.policies(), sets["1,000 policies"])
    load.by_hand((f'service="{service}"' for service in load.SERVICES), sets["1,000 by hand"])
    return sets


def _table(found: dict[str, list[Measured]], bench: Bench) -> Table:
    title = f"{len(load.ALERTS)} alerts for {len(load.SERVICES)} services, {bench.series()} series"
    heads = ("rules", "an evaluation", f"share of {load.USUAL_INTERVAL} s", f"share of {load.EVERY} s as run")
    table = Table(*heads, "by hand / generated", "spread", "rounds", "firing", "missed", title=title)
    seconds = {name: median(second for one in many for second in one.seconds) for name, many in found.items()}
    for name, many in found.items():
        peer = name.replace("policy", "by hand").replace("policies", "by hand")
        table.add_row(
            name,
            f"{seconds[name] * 1000:.0f} ms",
            f"{seconds[name] / load.USUAL_INTERVAL:.1%}",
            f"{seconds[name] / load.EVERY:.1%}",
            "" if peer == name else f"{seconds[peer] / seconds[name]:.2f}",
            f"{max(one.spread for one in many):.0%}",
            ", ".join(f"{one.median * 1000:.0f}" for one in many),
            "/".join(str(one.firing) for one in many),
            str(sum(one.missed for one in many)),
        )
    table.caption = f"target: under {TARGET_SHARE:.0%} of the interval; medians of {ROUNDS * EVALUATIONS} evaluations"
    return table


def _timed(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


if __name__ == "__main__":
    screen = Console(width=160)
    builds(screen)
    evaluation(screen)
