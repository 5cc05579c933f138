"""The reference page is what the command line says now."""

from __future__ import annotations

from pathlib import Path

from deploywatch.reference import page

REFERENCE = Path(__file__).parents[2] / "docs/reference.md"


def test_the_reference_is_up_to_date() -> None:
    assert REFERENCE.read_text() == page(), "run: python -m deploywatch.reference > docs/reference.md"


def test_the_reference_has_commands_and_options_with_their_defaults() -> None:
    text = page()
    assert "### deploywatch rules build" in text
    assert "| `--web.listen-address TEXT` | `127.0.0.1:9872` |" in text
