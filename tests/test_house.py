"""The house keeps its plan: parts meet through files and HTTP, and no two rooms need each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STANDS_ON = {
    "deploywatch": set(),
    "exporter": {"deploywatch"},
    "rules": {"deploywatch"},
    "receiver": {"deploywatch"},
    "grafana": {"deploywatch", "rules"},
}
COMPOSES = {"exporter.config", "receiver.config", "rules.commands"}
"""Put together what others have: each room's settings, and a policy's dashboards beside its rules."""


def imports(part: str) -> Iterator[tuple[str, str]]:
    """Each module of a part, with each module or name that it imports from one of the parts."""
    for file in sorted((ROOT / part).rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.ImportFrom(module=str(source)) if source.split(".")[0] in STANDS_ON:
                    yield from ((module, f"{source}.{one.name}") for one in node.names)
                case ast.Import():
                    yield from ((module, one.name) for one in node.names if one.name.split(".")[0] in STANDS_ON)


@pytest.mark.parametrize("part", STANDS_ON)
def test_a_part_imports_only_what_it_stands_on(part: str) -> None:
    found = {other.split(".")[0] for module, other in imports(part) if module not in COMPOSES} - {part}
    assert found <= STANDS_ON[part]


@pytest.mark.parametrize("part", STANDS_ON)
def test_no_two_rooms_of_a_part_need_each_other(part: str) -> None:
    below: dict[str, set[str]] = {}
    for module, other in imports(part):
        room, needed = (".".join(name.split(".")[:2]) for name in (module, other))
        if other.startswith(f"{part}.") and room != needed and not COMPOSES & {room, needed}:
            below.setdefault(room, set()).add(needed)
    assert below
    TopologicalSorter(below).prepare()  # CycleError names the circle
