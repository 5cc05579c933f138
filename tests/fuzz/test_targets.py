"""Each reader takes its seeds, what was found in them before, and thousands of changed seeds, without breaking."""

from __future__ import annotations

import random
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.fuzz.targets import FOUND, TARGETS, TOP, Target

TIMES = {"policy": 40, "config": 40}
SNIPPETS = (
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b"{",
    b"]",
    b"-1",
    b"1e999",
    b"\r\n",
    b": ",
    b"&a *a",
    b"!!x ",
    b"\\ud800",
)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_seeds_and_what_was_found_break_nothing(target: Target) -> None:
    seeds = list(target.seeds())
    assert len(seeds) > 4
    for data in (b"", *seeds, *target.found()):
        target.consume(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_changed_seeds_break_nothing(target: Target) -> None:
    dice = random.Random(7)  # noqa: S311 - it deals inputs, no secrets
    seeds = [seed for seed in target.seeds() if len(seed) < target.longest]
    for _ in range(TIMES.get(target.name, 1500)):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(data) + 1)
            match dice.randrange(4):
                case 0:
                    data[at:at] = dice.choice(SNIPPETS)
                case 1:
                    del data[at : at + dice.randint(1, 20)]
                case 2:
                    data[at : at + 1] = bytes([dice.randrange(256)])
                case _:
                    other = dice.choice(seeds)
                    data[at:at] = other[dice.randrange(len(other)) :][:50]
        target.consume(bytes(data))


def test_what_was_found_belongs_to_a_reader() -> None:
    assert {path.name for path in FOUND.iterdir() if path.is_dir()} <= set(TARGETS)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed; scripts/fuzz installs it")
@pytest.mark.timeout(300)
def test_the_fuzzer_runs_and_ends_in_time() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "health_body", "--seconds", "3"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "stat::number_of_executed_units" in done.stderr
