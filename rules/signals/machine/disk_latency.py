"""disk_latency: how long one access to a disk takes."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.resources import DiskTimes
from deploywatch.rules.signals.kinds import Ratio

SIGNAL = Ratio(
    "disk_latency",
    title="disk latency",
    about="The mean duration of an access to the disk, over the policy's window; no value while there is none.",
    unit=Unit.SECONDS,
    needs=DiskTimes,
)
