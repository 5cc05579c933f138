"""How slow the machine is at this moment, so that a limit on time says something of the code and not of the machine."""

from __future__ import annotations

import time

_STEPS = 1_000_000
_USUAL = 0.05
"""The seconds that they take a core of 2023 with nothing beside it."""


def pace() -> float:
    """How many times as long a piece of Python takes as it usually does; 1 at least."""
    began = time.process_time()
    total = 0
    for number in range(_STEPS):
        total += number & 3
    return max(1.0, (time.process_time() - began) / _USUAL)
