"""The house keeps its plan: parts meet through files and HTTP, and each room needs only what is below it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STANDS_ON: dict[str, set[str]] = {
    "exporter": set(),
    "rules": set(),
    "receiver": set(),
    "grafana": {"rules"},
}
GROUND = ROOT / "deploywatch"
GROUND_ROOMS = sorted(
    path for path in GROUND.iterdir() if path.is_dir() and not path.is_symlink() and any(path.glob("*.py"))
)
PYTHON = [
    *GROUND.glob("*.py"),
    *(file for room in GROUND_ROOMS for file in room.rglob("*.py")),
    *(file for folder in (*STANDS_ON, "tests", "bench", "examples") for file in (ROOT / folder).rglob("*.py")),
]
PLAN = ROOT / "docs" / "house.md"
NO_ROOMS = {"__init__", "__main__", "__pycache__"}


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


def rooms(part: str) -> list[str]:
    """The rooms that a part's docstring lists, from the top."""
    docstring = ast.get_docstring(ast.parse((ROOT / part / "__init__.py").read_text())) or ""
    lines = re.findall(r"^    ((?:\w+, )*\w+) {1,}", docstring, re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


@pytest.mark.parametrize("part", STANDS_ON)
def test_a_part_imports_only_what_it_stands_on(part: str) -> None:
    others = {other.split(".")[0] for _, other in imports(part)} & STANDS_ON.keys()
    assert others - {part} <= STANDS_ON[part]


def test_the_ground_floor_imports_no_part() -> None:
    ground = [file for file in PYTHON if file.is_relative_to(GROUND)]
    assert ground
    parts = tuple(f"deploywatch.{part}." for part in STANDS_ON)
    assert [(str(file), name) for file in ground for name in imported(file) if f"{name}.".startswith(parts)] == []


def test_nothing_is_imported_by_a_bare_name_that_belongs_to_another_distribution() -> None:
    bare = {(str(file), name) for file in PYTHON for name in imported(file) if name.split(".")[0] in STANDS_ON}
    assert bare == set(), "write deploywatch.rules, deploywatch.exporter …: PyPI has packages of the bare names"


@pytest.mark.parametrize("part", STANDS_ON)
def test_a_parts_docstring_lists_each_of_its_rooms_once(part: str) -> None:
    there = {path.stem for path in (ROOT / part).iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert sorted(rooms(part)) == sorted(there - NO_ROOMS), f"list each room in {part}/__init__.py, where it stands"


@pytest.mark.parametrize("part", STANDS_ON)
def test_no_room_imports_upward(part: str) -> None:
    height = {room: -number for number, room in enumerate(rooms(part))}
    upward = set()
    for module, other in imports(part):
        room, needed = (f"{name}.".split(".")[1] for name in (module, other))
        if other.startswith(f"{part}.") and room in height and needed in height and height[room] < height[needed]:
            upward.add(f"{module} imports {other}")
    assert height
    assert upward == set(), f"{part}/__init__.py lists the rooms from the top; a room needs only those below it"


@pytest.mark.parametrize("part", STANDS_ON)
def test_the_plan_names_each_folder_and_no_other(part: str) -> None:
    (block,) = re.findall(rf"^## {part}/.*?\n(.*?)(?=^## |\Z)", PLAN.read_text(), re.MULTILINE | re.DOTALL)
    planned = re.findall(r"^- `(\w+)/`", block, re.MULTILINE)
    there = {path.name for path in (ROOT / part).iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert sorted(planned) == sorted(there)


def test_the_plan_names_each_room_of_the_ground_floor() -> None:
    (paragraphs,) = re.findall(r"^`deploywatch/` itself.*?\n(.*?)(?=^## )", PLAN.read_text(), re.MULTILINE | re.DOTALL)
    assert sorted(re.findall(r"^- `(\w+)/`", paragraphs, re.MULTILINE)) == [room.name for room in GROUND_ROOMS]


def test_the_page_on_contributing_names_each_file_with_heavy_tests() -> None:
    page = (ROOT / "docs" / "contributing.md").read_text()
    named = set(re.findall(r"^\| `(tests/[^`]+)`:", page, re.MULTILINE))
    marked = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"mark\.heavy\b", path.read_text())
    }
    assert marked - {"tests/test_house.py"} == named
