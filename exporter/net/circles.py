"""Breaks the circles of objects that have served, which nobody but the garbage collector could free.

Its rounds hold up every probe for as long as they last, so that a probe leaves nothing to it.
"""

from __future__ import annotations

import contextlib
from typing import Any


def dissolve(*served: object) -> None:
    """Empty objects of a library that refer to themselves; they must not be used any more."""
    for item in served:
        with contextlib.suppress(TypeError):  # without a dictionary there is nothing to empty
            vars(item).clear()


def release(transport: Any) -> None:
    """Free a transport that is closing; asyncio's own keeps a method of itself, others do not."""
    # Thousands of probes a minute leave a circle each: without this the collector has to walk them all.
    if transport is not None and transport.is_closing() and "_read_ready_cb" in getattr(transport, "__dict__", {}):
        transport._read_ready_cb = None
