"""active_connections: how many connections are open."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.requests import Connections
from deploywatch.rules.signals.kinds import Level

SIGNAL = Level(
    "active_connections",
    title="active connections",
    about="Connections that are open now, over all instances.",
    unit=Unit.COUNT,
    needs=Connections,
)
