"""conversion_ratio: visits that end as wished, as a share of all."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Conversions
from deploywatch.rules.signals.kinds import Ratio
from deploywatch.rules.signals.signal import SHARE

SIGNAL = Ratio(
    "conversion_ratio",
    title="conversion ratio",
    about="Visits that end as wished, as a share of all visits, over the policy's window; no value without visits.",
    unit=Unit.RATIO,
    needs=Conversions,
    domain=SHARE,
)
