"""`deploywatch rules test`: what policies build to, tried by Prometheus's and Alertmanager's own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from deploywatch.errors import DeploywatchError
from deploywatch.plurals import number_of
from deploywatch.rules.build import ROUTES, Files, write
from deploywatch.rules.build import build as build_files
from deploywatch.rules.loading import load_all
from deploywatch.rules.requirements import demand
from deploywatch.terminal import say

POLICY = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Step:
    """One run of a tool: what it tries, in words, and its command line."""

    about: str
    command: Sequence[str]


@click.command()
@click.argument("policies", type=POLICY, nargs=-1, required=True, metavar="POLICY...")
def test(policies: tuple[Path, ...]) -> None:
    """Build the policies into a folder that goes away, and have promtool and amtool try all that was built.

    Exit 1 when a test fails. Both tools must be on the PATH: they come with Prometheus and Alertmanager.
    """
    tools = {name: _tool(name) for name in ("promtool", "amtool")}
    loaded = load_all(policies)
    version = _run([tools["promtool"], "--version"])
    # Older ones print their version on standard error.
    demand(loaded, version.stdout + version.stderr, tools["promtool"])
    files = build_files(loaded)
    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        # All of them, also after one has failed: whoever mends a policy wants every fault.
        good = [_try(step, folder) for step in _steps(tools, files)]
    if not all(good):
        raise SystemExit(1)


def _try(step: Step, folder: str) -> bool:
    """Run a step and say how it ended; whether it went well."""
    done = _run(step.command, folder)
    say(f"{step.about}: {'failed' if done.returncode else 'good'}")
    if done.returncode:
        say(done.stdout + done.stderr)
    return done.returncode == 0


def _run(command: Sequence[str], folder: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool, which has no part in the tokens of our environment."""
    found = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, check=False)


def _steps(tools: dict[str, str], files: Files) -> Iterator[Step]:
    rules = sorted(name for name in files if name.startswith("rules/"))
    tests = sorted(name for name in files if name.startswith("tests/"))
    yield Step(
        f"{number_of(len(rules), 'file')} of rules",
        [tools["promtool"], "check", "rules", "--lint=all", "--lint-fatal", *rules],
    )
    for name in tests:
        yield Step(
            f"{name}, {number_of(files[name].count('- name: '), 'test')}", [tools["promtool"], "test", "rules", name]
        )
    if ROUTES in files:
        yield Step(ROUTES, [tools["amtool"], "check-config", ROUTES])


def _tool(name: str) -> str:
    place = shutil.which(name)
    if place is None:
        raise DeploywatchError(f"{name} is not on the PATH; install it, it comes with Prometheus or Alertmanager")
    return place
