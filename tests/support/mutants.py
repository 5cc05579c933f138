"""Changes to the code that only decides, one at a time, that its tests must notice:

    python -m tests.support.mutants [MODULE...]

Cosmic Ray makes the changes in a copy of the checkout and runs the module's tests for each. Printed are the survivors,
those that no test noticed, and the share that was noticed; the exit code is 1 where that is below nine in ten.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
KNOWN: Final = Path(__file__).with_name("mutants.json")
"""Survivors that change nothing that anybody could notice, each with the reason."""
ENOUGH: Final = 0.9

DECIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "receiver/incidents/decide.py": ("tests/receiver/incidents/test_decide.py",),
    "receiver/actions/rollback/brakes.py": ("tests/receiver/actions/rollback/test_brakes.py",),
    "receiver/escalation/policy.py": ("tests/receiver/escalation/test_deadlines.py",),
    "receiver/suppression/gate.py": ("tests/receiver/suppression/test_gate.py",),
    "receiver/suppression/windows.py": ("tests/receiver/suppression/test_maintenance.py",),
    "receiver/notify/uncertain_delivery.py": ("tests/receiver/notify/test_uncertain_delivery.py",),
    "deploywatch/evidence.py": ("tests/deploywatch/test_evidence.py",),
}
"""Each module that decides without doing, with the tests that are to notice when it decides otherwise."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: what kind of change, the line as it was, and the tests' word."""

    module: str
    operator: str
    line: int
    was: str
    noticed: bool

    @property
    def key(self) -> str:
        """What names it for as long as the line reads the same."""
        return f"{self.module}: {self.operator}: {self.was}"

    @property
    def matters(self) -> bool:
        """Whether it can change what is decided: that a value is frozen and has slots guards against misuse only."""
        return not self.was.startswith("@dataclass")


def mutants(module: str, tests: tuple[str, ...]) -> Iterator[Mutant]:
    """Make each change to a module in a copy of the checkout, and run its tests."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        _copy(copy)
        command = " ".join([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-n0", *tests])
        (copy / "mutants.toml").write_text(
            f'[cosmic-ray]\nmodule-path = "{module}"\ntimeout = 120.0\nexcluded-modules = []\n'
            f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'
            # In this code | stands in annotations, which nobody evaluates.
            '[cosmic-ray.filters.operators-filter]\nexclude-operators = ["core/ReplaceBinaryOperator_BitOr_.*"]\n'
        )
        _cosmic_ray(copy, "baseline", "mutants.toml")
        _cosmic_ray(copy, "init", "mutants.toml", "mutants.sqlite")
        _run(copy, "cr-filter-operators", "mutants.sqlite", "mutants.toml")
        _cosmic_ray(copy, "exec", "mutants.toml", "mutants.sqlite")
        lines = (copy / module).read_text().splitlines()
        for text in _cosmic_ray(copy, "dump", "mutants.sqlite").splitlines():
            item, result = json.loads(text)
            if result and result["worker_outcome"] != "skipped":
                yield _mutant(module, lines, item, result)


def _mutant(module: str, lines: list[str], item: dict[str, Any], result: dict[str, Any]) -> Mutant:
    (change,) = item["mutations"]
    number = change["start_pos"][0]
    operator = change["operator_name"].removeprefix("core/")
    noticed = result["test_outcome"] != "survived"
    return Mutant(module, operator, number, lines[number - 1].strip(), noticed)


def _copy(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)


def _cosmic_ray(folder: Path, *arguments: str) -> str:
    return _run(folder, "cosmic-ray", *arguments)


def _run(folder: Path, program: str, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def main(modules: list[str]) -> int:
    """Say which changes nobody noticed; 1 when they are more than one in ten."""
    unknown = [module for module in modules if module not in DECIDERS]
    if unknown:
        print(f"{unknown[0]} is not among them: {', '.join(DECIDERS)}", file=sys.stderr)  # noqa: T201
        return 2
    reasons: dict[str, str] = json.loads(KNOWN.read_text())
    good = True
    for module in modules or DECIDERS:
        made = [mutant for mutant in mutants(module, DECIDERS[module]) if mutant.matters]
        noticed = sum(mutant.noticed for mutant in made)
        good = good and noticed >= ENOUGH * len(made)
        print(f"{module}: {noticed} of {len(made)} changes noticed", flush=True)  # noqa: T201
        for mutant in made:
            if not mutant.noticed:
                why = reasons.get(mutant.key, "no reason is known: a test is missing")
                print(f"  {mutant.line}: {mutant.operator}: {mutant.was}\n      {why}")  # noqa: T201
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
