"""One reader under atheris, in a process of its own: `python -m tests.fuzz.one TARGET CORPUS [libFuzzer's options]`."""

from __future__ import annotations

import sys

import atheris

# Our own code alone: what ruamel.yaml would tell of itself made each text ten times slower to read.
with atheris.instrument_imports(include=["deploywatch"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer's limits are reached."""
    program, name, *rest = sys.argv
    atheris.Setup([program, *rest], TARGETS[name].consume)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
