"""complaints: how many users complain, an hour."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Complaints
from deploywatch.rules.signals.kinds import HourlyFlow

SIGNAL = HourlyFlow(
    "complaints",
    title="complaints",
    about="Complaints an hour, as fast as over the policy's window.",
    unit=Unit.COUNT,
    needs=Complaints,
    phrase="{} an hour",
)
