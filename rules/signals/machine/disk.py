"""disk: how full a service's filesystems are."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Disk
from deploywatch.rules.signals.kinds import Used
from deploywatch.rules.signals.signal import SHARE

SIGNAL = Used(
    "disk",
    title="disk",
    about="Disk space that is taken, as a share of all; of several filesystems, the fullest.",
    unit=Unit.RATIO,
    needs=Disk,
    domain=SHARE,
)
