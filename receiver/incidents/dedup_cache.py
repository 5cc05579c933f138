"""What a receiver remembers from one transaction to the next, so that it need not ask the store again.

Where several replicas write to one store, it counts how often alerts were changed, by whichever of them; what is
remembered of alerts holds while that count is the one that it was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from deploywatch.receiver.incidents.alerts.anomalies import Said
from deploywatch.receiver.incidents.decide import Decision, Episode
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.store import counters

REMEMBERED: Final = 50_000
"""Alerts that a receiver keeps in memory between transactions; some 50 MB."""

# Not for ever: the stored one is deleted some day by retention, and the copies would point at nothing.
BODY_STANDS: Final = timedelta(days=1)
"""How long a stored body stands for those that come after it and are the same."""

Made = Counter[Decision]
"""How often each decision was made."""
Asked = tuple[tuple[bytes, int], str | None]
"""What names the alerts of a delivery, and the name of the alert that is the watchdog."""
Known = dict[str, tuple[Episode, int | None]]
"""The current episode of each fingerprint, with the incident that it belongs to."""
_CHANGES: Final = "alert_changes"
_UNSETTLED: tuple[int, Made | None] = (-1, None)


@dataclass(slots=True)
class AlertCache:
    """Remarks, when which body was stored, and the alerts as they were after `as_of` changes that the store counts.

    It counts none unless the store is `shared`: one process that is alone knows of each.
    """

    shared: bool = True
    episodes: Known = field(default_factory=dict)
    said: Said = field(default_factory=set)
    bodies: dict[bytes, datetime] = field(default_factory=dict)
    as_of: float = -1
    changes: int = 0
    """How often we changed an alert's episode."""
    _settled: dict[Asked, tuple[int, Made]] = field(default_factory=dict)

    def catch_up(self, connection: Connection) -> None:
        """Forget the alerts if another replica has changed any."""
        # Read in the transaction that goes on from it: on PostgreSQL the advisory lock keeps the count still until
        # its end.
        if self.shared and (stored := counters.value(connection, _CHANGES)) != self.as_of:
            self._forget_alerts()
            self.as_of = stored

    def tell(self, connection: Connection) -> None:
        """Let the other replicas forget the alerts, as this transaction changes some and we remember how."""
        if self.shared:
            counters.add(connection, _CHANGES)
            # Our own change is known to us; only somebody else's makes us forget.
            self.as_of += 1

    def lose(self, connection: Connection) -> None:
        """Forget the alerts and let the other replicas forget them, as this transaction deletes some."""
        self.tell(connection)
        self._forget_alerts()

    def forget(self, *, beyond: int = 0) -> None:
        """Forget everything, if more than `beyond` alerts, anomalies or bodies are remembered."""
        # All at once and not the oldest: no bookkeeping on the webhook's path, and a storm fills it again in seconds.
        if max(len(self.episodes), len(self.said), len(self.bodies)) > beyond:
            self._forget_alerts()
            self.said.clear()
            self.bodies.clear()

    def _forget_alerts(self) -> None:
        self.episodes.clear()
        self._settled.clear()
        self.as_of = -1

    def settle(self, asked: Asked, made: Made) -> None:
        """Remember that this body, with this watchdog, changes nothing as long as no alert changes."""
        (digest, _), _ = asked
        # A delivery without a digest was made by the receiver itself, and comes only once.
        if digest:
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
