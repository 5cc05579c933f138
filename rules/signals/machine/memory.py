"""memory: how much of its memory a service has taken."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Memory
from deploywatch.rules.signals.kinds import Used
from deploywatch.rules.signals.signal import SHARE

SIGNAL = Used(
    "memory",
    title="memory",
    about="Memory that is taken, as a share of all; of several machines or containers, the fullest.",
    unit=Unit.RATIO,
    needs=Memory,
    domain=SHARE,
)
