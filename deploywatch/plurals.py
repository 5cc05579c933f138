"""How many there are of something, in words; a room without libraries, as the command line waits for each."""

from __future__ import annotations


def number_of(count: object, noun: str, nouns: str = "") -> str:
    """Write how many there are: `1 rollback`, `2 rollbacks`, `1,904 requests`; `nouns` where an s does not do."""
    # What another server calls a count may be anything.
    shown = f"{count:,}" if isinstance(count, int | float) else str(count)
    return f"{shown} {noun if count == 1 else nouns or f'{noun}s'}"
