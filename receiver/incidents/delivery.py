"""One webhook, understood."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from receiver.alert import Alert


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook that has been understood: its body as it came, its alerts, and how many were left out of it.

    `digest` names the body, so that it is stored once for the same ones; without it each is.
    """

    received_at: datetime
    body: bytes
    alerts: tuple[Alert, ...]
    truncated: int = 0
    digest: bytes = b""
