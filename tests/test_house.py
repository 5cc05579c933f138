"""The house keeps its plan: parts meet through files and HTTP, and no two rooms need each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STANDS_ON = {
    "exporter": set(),
    "rules": set(),
    "receiver": set(),
    "grafana": {"rules"},
}
COMPOSES = {"exporter.config", "rules.commands"}
"""Put together what others have: each room's settings, and a policy's dashboards beside its rules."""
PYTHON = [
    *(ROOT / "deploywatch").glob("*.py"),
    *(file for folder in ("demo", "fakes") for file in (ROOT / "deploywatch" / folder).rglob("*.py")),
    *(file for folder in (*STANDS_ON, "tests", "bench", "examples") for file in (ROOT / folder).rglob("*.py")),
]


def imported(file: Path) -> Iterator[str]:
    """Each module or name that a file imports, as it is written there."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.ImportFrom(module=str(source), level=0):
                yield from (f"{source}.{name.name}" for name in node.names)
            case ast.Import():
                yield from (name.name for name in node.names)


def imports(part: str) -> Iterator[tuple[str, str]]:
    """Each module of a part, with each module or name of our own that it imports; both without `deploywatch.`."""
    for file in sorted((ROOT / part).rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield from (
            (module, name.removeprefix("deploywatch.")) for name in imported(file) if name.startswith("deploywatch.")
        )


@pytest.mark.parametrize("part", STANDS_ON)
def test_a_part_imports_only_what_it_stands_on(part: str) -> None:
    others = {other.split(".")[0] for module, other in imports(part) if module not in COMPOSES} & STANDS_ON.keys()
    assert others - {part} <= STANDS_ON[part]


def test_the_ground_floor_imports_no_part() -> None:
    ground = [file for file in PYTHON if file.is_relative_to(ROOT / "deploywatch")]
    assert ground
    parts = tuple(f"deploywatch.{part}." for part in STANDS_ON)
    assert [(str(file), name) for file in ground for name in imported(file) if f"{name}.".startswith(parts)] == []


def test_nothing_is_imported_by_a_bare_name_that_belongs_to_another_distribution() -> None:
    bare = {(str(file), name) for file in PYTHON for name in imported(file) if name.split(".")[0] in STANDS_ON}
    assert bare == set(), "write deploywatch.rules, deploywatch.exporter …: PyPI has packages of the bare names"


@pytest.mark.parametrize("part", STANDS_ON)
def test_no_two_rooms_of_a_part_need_each_other(part: str) -> None:
    below: dict[str, set[str]] = {}
    for module, other in imports(part):
        room, needed = (".".join(name.split(".")[:2]) for name in (module, other))
        if other.startswith(f"{part}.") and room != needed and not COMPOSES & {room, needed}:
            below.setdefault(room, set()).add(needed)
    assert below
    TopologicalSorter(below).prepare()  # CycleError names the circle
