"""revenue: money taken, an hour."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Revenue
from deploywatch.rules.signals.kinds import HourlyFlow

SIGNAL = HourlyFlow(
    "revenue",
    title="revenue",
    about="Dollars taken an hour, as fast as over the policy's window.",
    unit=Unit.MONEY,
    needs=Revenue,
    phrase="{} an hour",
)
