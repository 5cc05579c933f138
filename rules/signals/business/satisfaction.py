"""satisfaction: how satisfied users say they are."""

from __future__ import annotations

from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Satisfaction
from deploywatch.rules.signals.kinds import Mean
from deploywatch.rules.signals.signal import Domain

SIGNAL = Mean(
    "satisfaction",
    title="satisfaction",
    about="How satisfied users are, from 0 to 5, as the mean of all instances.",
    unit=Unit.COUNT,
    needs=Satisfaction,
    domain=Domain(highest=Decimal(5)),
)
