"""docs/exporter/peers.md is what scripts/peers wrote: every situation of the script, and our answer right in each."""

from __future__ import annotations

import re
from pathlib import Path

from bench.peers.__main__ import PARTS
from bench.peers.situation import SITUATIONS

PAGE = Path(__file__).parents[2] / "docs" / "exporter" / "peers.md"
ROW = re.compile(r"\| (?P<number>\d+) \| (?P<name>.+?) \| (?P<theirs>.*?) \| (?P<ours>.*) \|")


def rows() -> list[re.Match[str]]:
    return [match for line in PAGE.read_text().splitlines() if (match := ROW.fullmatch(line))]


def test_the_page_has_every_situation_of_the_script_and_sixty_at_least() -> None:
    assert len(PARTS) == 3
    assert [row["name"] for row in rows()] == [situation.name for situation in SITUATIONS]
    assert len(rows()) >= 60
    assert len({(situation.peer, situation.name) for situation in SITUATIONS}) == len(SITUATIONS)


def test_ours_is_right_in_each() -> None:
    assert "**WRONG**" not in PAGE.read_text()
    assert all(row["ours"].startswith(("success", "fails: `")) for row in rows())
