"""How long `--help` and `deployments list` take, from Python's start to the last line; beside an empty Python."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.receiver.servers import DEPLOYER, READER, Place
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running

ROUNDS, DEPLOYMENTS, GOAL = 15, 20, 0.2


def measure(server: Running, rounds: int) -> dict[str, list[float]]:
    """Seconds of each command, round by round, asked of a receiver that is given some deployments."""
    for number in range(DEPLOYMENTS):
        deployed = {"service": f"service-{number:02}", "environment": "production", "version": "1.2.3"}
        request = urllib.request.Request(  # noqa: S310 - always http on loopback
            f"{server.url}/api/v1/deployments",
            json.dumps(deployed).encode(),
            {"Authorization": f"Bearer {DEPLOYER}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310
            pass
    command, listing = [sys.executable, "-m", "deploywatch"], ["deployments", "--url", server.url, "list"]
    commands = {
        # What no command of ours can be faster than.
        "an empty Python": [sys.executable, "-c", ""],
        "--help": [*command, "--help"],
        "deployments list --format json": [*command, *listing, "--format", "json"],
        f"deployments list, a table of {DEPLOYMENTS}": [*command, *listing],
    }
    return {name: [_seconds(command) for _ in range(rounds)] for name, command in commands.items()}


def _seconds(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "DEPLOYWATCH_TOKEN": READER})
    return time.perf_counter() - begun


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="bench.commands", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each command is run")
    rounds = parser.parse_args(arguments).rounds
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything here is on this machine
    table = Table("command", "median", "fastest", "slowest", title=f"wall time, {rounds} rounds; goal {GOAL:g} s")
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder) / "logs") as processes:
        place = Place(processes, Path(folder))
        server = place.receiver("commands", place.database("commands"), place.inbox())
        for name, times in measure(server, rounds).items():
            shown = (f"{seconds * 1000:.0f} ms" for seconds in (median(times), min(times), max(times)))
            table.add_row(name, *shown)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
