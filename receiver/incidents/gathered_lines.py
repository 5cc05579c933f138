"""Lines of the timeline that a storm of alerts would repeat: gathered while a transaction goes on, written once."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.plurals import number_of
from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.kinds import Kind

_NAMED = 5
_DID = {Kind.JOINED: "joined", Kind.ALERT_RESOLVED: "resolved", Kind.VICTIM: "counted as a victim"}


@dataclass(slots=True)
class GatheredLines:
    """The timeline of one transaction; whoever ends the transaction flushes it."""

    connection: Connection
    now: datetime
    notes: defaultdict[tuple[int, Kind], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def gather(self, incident_id: int, kind: Kind, what: str) -> None:
        """Note what one alert did to an incident."""
        self.notes[incident_id, kind][what] += 1

    def write(self, incident_id: int, kind: Kind, text: str) -> None:
        """Write a line now, after those that were gathered before it."""
        # Else a line about what happened later would stand above those that led to it.
        self.flush()
        timeline.write(self.connection, incident_id, self.now, kind, text)

    def flush(self) -> None:
        """Write one line for all the alerts that did the same to an incident, in the order in which they began to."""
        rows = [
            timeline.line(incident_id, self.now, kind, _summed(tally, _DID[kind]))
            for (incident_id, kind), tally in self.notes.items()
        ]
        timeline.write_all(self.connection, rows)
        self.notes.clear()


def _summed(tally: Counter[str], did: str) -> str:
    """`HighLatency (high) joined`, or `12 alerts joined: HighErrorRate (high) ×10, HighLatency (high) ×2`."""
    if tally.total() == 1:
        return f"{next(iter(tally))} {did}"
    named = [f"{name} ×{count}" if count > 1 else name for name, count in tally.most_common(_NAMED)]
    more = len(tally) - len(named)
    others = f" and {number_of(more, 'other')}" if more else ""
    return f"{tally.total()} alerts {did}: {', '.join(named)}{others}"
