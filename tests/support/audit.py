"""Asks pip-audit about the pinned libraries, and says so loudly where nobody knows: `python -m tests.support.audit`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

TOP = Path(__file__).parents[2]
PINS = TOP / "constraints.txt"
_SECONDS = 600


class Judgement(NamedTuple):
    """What is said of the libraries, and whether one of them has a hole that is known."""

    lines: Sequence[str]
    bad: bool


def judge(report: Mapping[str, Any]) -> Judgement:
    """Judge pip-audit's JSON: each hole by its name, and each library that nobody could be asked about."""
    libraries = report.get("dependencies", ())
    unknown = [one["name"] for one in libraries if "skip_reason" in one]
    holes = [
        f"{one['name']} {one['version']} has {hole['id']}; mended in {', '.join(hole['fix_versions']) or 'no release'}"
        for one in libraries
        for hole in one.get("vulns", ())
    ]
    if not libraries or len(unknown) == len(libraries):
        return Judgement(
            ["audit: NOT AUDITED: what is known of holes cannot be reached from here", *holes], bool(holes)
        )
    said = [f"audit: NOT AUDITED: {', '.join(unknown)}"] if unknown else []
    known = f"audit: {len(libraries) - len(unknown)} libraries, {len(holes)} known holes"
    return Judgement([*said, *(f"audit: {hole}" for hole in holes), known], bool(holes))


def ask(pins: Sequence[str]) -> Mapping[str, Any]:
    """What pip-audit says of these pins; nothing where it cannot say anything."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--no-deps"]
        try:
            done = subprocess.run(
                [*command, "--disable-pip", "--requirement", file.name],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            report: Mapping[str, Any] = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError):
            return {}
        return report


def main() -> None:
    """Ends with 1 where a library has a hole."""
    pins = [row for row in PINS.read_text().splitlines() if row and not row.startswith("#")]
    # One is asked about first: where nothing is known of it, nothing is known of the others.
    first = next(row for row in pins if row.startswith("aiohttp=="))
    judged = judge(ask([first]))
    if judged.lines[0].startswith("audit: NOT"):
        lines, bad = judged
    else:
        lines, bad = judge(ask(pins))
    for row in lines:
        click.echo(row, err=True)
    sys.exit(int(bad))


if __name__ == "__main__":
    main()
