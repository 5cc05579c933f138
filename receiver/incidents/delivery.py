"""One webhook, understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.receiver.alert import Alert


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook that has been understood: its body as it came, its alerts, and how many were left out of it.

    `digest` names the body, so that it is stored once for the same ones; without it each is. `also` is done in the
    transaction that takes it in, at its end. `rejected` says, with JSON paths, which of its alerts could not be read.
    """

    received_at: datetime
    body: bytes
    alerts: tuple[Alert, ...]
    truncated: int = 0
    digest: bytes = b""
    rejected: tuple[str, ...] = ()
    also: Callable[[Connection], None] = lambda _: None
