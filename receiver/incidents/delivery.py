"""One webhook, understood, and what is remembered of webhooks from one transaction to the next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver.incidents.remarks import Said
from receiver.incidents.rules import Alert, Decision, Episode

REMEMBERED = 50_000
"""Alerts that a receiver keeps in memory between transactions; some 50 MB."""

BODY_STANDS = timedelta(days=1)
"""How long a stored body stands for those that come after it and are the same."""

Made = Counter[Decision]
"""How often each decision was made."""
Asked = tuple[bytes, str | None]
"""A body's digest, and the name of the alert that is the watchdog."""
Known = dict[str, tuple[Episode, int | None]]
"""The current episode of each fingerprint, with the incident that it belongs to."""
_UNSETTLED: tuple[int, Made | None] = (-1, None)


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


@dataclass(slots=True)
class Recall:
    """Remembers between transactions: remarks, when which body was stored, and the alerts.

    These only where one process `alone` writes to the store.
    """

    alone: bool = True
    episodes: Known = field(default_factory=dict)
    said: Said = field(default_factory=set)
    bodies: dict[bytes, datetime] = field(default_factory=dict)
    changes: int = 0
    """How often an alert's episode has changed."""
    _settled: dict[Asked, tuple[int, Made]] = field(default_factory=dict)

    def forget(self, *, beyond: int = 0) -> None:
        """Forget everything, if more than `beyond` alerts, remarks or bodies are remembered."""
        if max(len(self.episodes), len(self.said), len(self.bodies)) > beyond:
            self.episodes.clear()
            self.said.clear()
            self.bodies.clear()
            self._settled.clear()

    def settle(self, asked: Asked, made: Made) -> None:
        """Remember that this body, with this watchdog, changes nothing as long as no alert changes."""
        if self.alone and asked[0]:
            self._settled[asked] = self.changes, made

    def settled(self, asked: Asked) -> Made | None:
        """What was decided about it, where nothing has changed since then; else None."""
        changes, made = self._settled.get(asked, _UNSETTLED)
        return made if changes == self.changes else None

    def body(self, delivery: Delivery) -> bytes:
        """The body that is to be stored: none while one that is the same stands for it."""
        if not delivery.digest:
            return delivery.body
        stored_at = self.bodies.get(delivery.digest)
        if stored_at and stored_at <= delivery.received_at < stored_at + BODY_STANDS:
            return b""
        self.bodies[delivery.digest] = delivery.received_at
        return delivery.body
