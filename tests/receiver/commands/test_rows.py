"""Lists fit the terminal that they are printed on, and nothing of them is cut off."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from deploywatch.receiver.commands.shared import print_rows

COLUMNS = ("id", "service", "environment", "version", "previous_version", "status", "deployer", "timestamp")
ROW: dict[str, Any] = {
    "id": 7,
    "service": "checkout",
    "environment": "production",
    "version": "2026.11.4",
    "previous_version": None,
    "status": "rolled_back",
    "deployer": "deploywatch",
    "timestamp": "2026-11-28T19:01:28.013965+00:00",
}


def _printed(width: int, **changes: Any) -> str:
    out = io.StringIO()
    print_rows([ROW | changes], COLUMNS, Console(width=width, file=out))
    return out.getvalue()


@pytest.mark.parametrize("width", [30, 44, 80, 200])
def test_nothing_is_cut_off_however_narrow_the_terminal(width: int) -> None:
    printed = _printed(width)
    words = ("7", "checkout", "production", "2026.11.4", "rolled_back", "deploywatch", "2026-11-28", "19:01", "UTC")
    assert [word for word in words if word not in printed] == []
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= width


def test_on_80_columns_it_is_a_table_and_on_44_each_row_is_a_paragraph() -> None:
    *heads, row, last = _printed(80).splitlines()
    assert [line.split()[:2] for line in heads] == [["previous"], ["id", "service"]], "a name wraps at its words"
    assert row.split()[:3] == ["7", "checkout", "production"]
    assert last.strip() == "19:01 UTC"
    assert _printed(44).startswith("id 7, service checkout, environment")


def test_a_time_is_told_to_the_minute_and_what_is_none_as_it_came() -> None:
    assert "2026-11-28 19:01 UTC" in _printed(200)
    assert "soon" in _printed(200, timestamp="soon")
