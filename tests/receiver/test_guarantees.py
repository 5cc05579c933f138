"""Each guarantee in docs/receiver.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs" / "receiver.md").read_text().partition("## What is guaranteed")[2].partition("\n## ")[0]
GUARANTEES = [row for row in re.findall(r"^\| (.*) \|$", SECTION, re.MULTILINE)[1:] if not row.startswith("---")]


def test_there_are_guarantees() -> None:
    assert len(GUARANTEES) >= 16


@pytest.mark.parametrize("row", GUARANTEES, ids=lambda row: row.partition(" |")[0])
def test_each_guarantee_is_held_by_tests_that_are_there(row: str) -> None:
    _, _, held_by = row.split(" | ")
    named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", held_by)
    assert named
    for file, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (file, name)
