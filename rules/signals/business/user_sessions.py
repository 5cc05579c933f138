"""user_sessions: how many user sessions are open."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Sessions
from deploywatch.rules.signals.kinds import Level

SIGNAL = Level(
    "user_sessions",
    title="user sessions",
    about="User sessions that are open now, over all instances.",
    unit=Unit.COUNT,
    needs=Sessions,
)
