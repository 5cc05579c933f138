"""The rows of thresholds.yml, each with what holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploywatch.rules.builtin_policies import POLICIES

THRESHOLDS = Path(__file__).parent / "thresholds.yml"
BUILT = "tests/rules/test_build.py::test_the_built_tests_pass"
SICK = "tests/rules/world/test_sick.py::test_each_alert_fires_when_the_system_is_sick"
SICK_FOR_HOURS = "tests/rules/world/test_sick.py::test_each_alert_that_knows_hours_fires_when_the_system_is_sick"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of the sources: what it asks for, and the part of a policy or of deploywatch that holds it.

    `why` takes the place of all that where a figure holds nobody to anything.
    """

    at: Sequence[str]
    figures: Sequence[Decimal]
    of: str = ""
    says: str = ""
    policy: str = ""
    alert: str = ""
    part: str = ""
    holds: Sequence[str] = field(default_factory=tuple)
    where: str = ""
    tests: Sequence[str] = field(default_factory=tuple)
    why: str = ""


@cache
def rows() -> tuple[Row, ...]:
    """All rows, in the order of the documents."""
    return tuple(_row(given) for given in YAML(typ="safe").load(THRESHOLDS.read_text()))


def _row(given: dict[str, Any]) -> Row:
    figures = tuple(Decimal(str(figure)) for figure in given.pop("figures"))
    return Row(policy=given.pop("in", ""), figures=figures, **given)


def text_of(policy: str, *, alert: str = "", part: str = "") -> str:
    """What a shipped policy says in one of its alerts, or in one of its parts, on one line and without comments."""
    lines = (POLICIES / f"{policy}.yml").read_text().splitlines()
    if alert:
        return _block(lines, f"  - alert: {alert}", "  - ")
    return " ".join(_block(lines, f"{name.strip()}:", "") for name in part.split(","))


def _block(lines: Sequence[str], head: str, indent: str) -> str:
    """The lines from `head` to the next that stands as far left and begins as it does."""
    begin = next(number for number, line in enumerate(lines) if line == head or line.startswith(f"{head} "))
    block = [lines[begin]]
    for line in lines[begin + 1 :]:
        if line and (line.startswith(indent) if indent else not line.startswith((" ", "#"))):
            break
        if indent and line and not line.startswith(" "):
            break
        if not line.strip().startswith("#"):
            block.append(line.split(" # ")[0])
    return " ".join(" ".join(block).split())
