"""Says how a deployment's stage stands, in the words that the page, the report and the command line share."""

from __future__ import annotations

from typing import Final

OVER: Final = {
    "superseded": "the next stage began before this one was proven good",
    "ended": "undecided; it was rolled back by hand, failed, was overtaken, or nobody finished it",
}
"""What happened to a stage that no verdict ended, by its state."""


def in_words(state: str) -> str:
    """`promoted`, `rolled back`; of a stage that no verdict ended, what happened: the bare state says nothing."""
    return f"over: {OVER[state]}" if state in OVER else state.replace("_", " ")
