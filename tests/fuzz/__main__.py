"""Fuzzes the readers for a bounded time each, guided by coverage: `python -m tests.fuzz [TARGET…] [--seconds 60]`."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import click

from tests.fuzz.targets import FOUND, TARGETS, TOP, Target

FOLDER = TOP / "build" / "fuzz"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(TARGETS)))
@click.option("--seconds", default=60, help="For each of them.", show_default=True)
def main(names: tuple[str, ...], seconds: int) -> None:
    """Ends with 1 when something was found; says where it is, and what to do with it."""
    found = [path for name in names or TARGETS for path in _fuzz(TARGETS[name], seconds)]
    for path in found:
        kept = FOUND / path.parent.parent.name / path.name
        click.echo(f"found {path}: mend what it breaks, and keep it as {kept.relative_to(TOP)}")
    sys.exit(1 if found else 0)


def _fuzz(target: Target, seconds: int) -> list[Path]:
    corpus, artifacts = FOLDER / target.name / "corpus", FOLDER / target.name / "found"
    for folder in (corpus, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in (*target.seeds(), *target.found()):
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    before = set(artifacts.iterdir())
    limits = [f"-max_total_time={seconds}", f"-max_len={target.longest}", "-timeout=20", "-rss_limit_mb=2048"]
    command = [sys.executable, "-m", "tests.fuzz.one", target.name, str(corpus), f"-artifact_prefix={artifacts}/"]
    done = subprocess.run([*command, *limits, "-print_final_stats=1"], cwd=TOP, env=os.environ, check=False)
    new = sorted(set(artifacts.iterdir()) - before)
    if done.returncode and not new:
        raise click.ClickException(f"{target.name}: the fuzzer ended with {done.returncode} and left nothing behind")
    return new


if __name__ == "__main__":
    main()
