"""network: bytes a second over a service's network interfaces."""

from __future__ import annotations

from deploywatch.quantity import Unit
from deploywatch.rules.series.resources import Network
from deploywatch.rules.signals.kinds import Flow

SIGNAL = Flow(
    "network",
    title="network",
    about="Bytes a second that the service's interfaces carry, over the policy's window.",
    unit=Unit.BYTES,
    needs=Network,
    phrase="{} a second",
)
