"""connection_pool: how much of its pool of database connections a service has taken."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Pool
from deploywatch.rules.signals.kinds import Used
from deploywatch.rules.signals.signal import SHARE

SIGNAL = Used(
    "connection_pool",
    title="connection pool",
    about="Connections that are taken, as a share of the pool; of several pools, the fullest.",
    unit=Unit.RATIO,
    needs=Pool,
    domain=SHARE,
)
