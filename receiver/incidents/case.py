"""Why actions are queued: the alert, what it did to the incident, and the transaction to do it in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.conventions import AlertAnnotation
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import timeline, urgency
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.strategy import ActionName
from deploywatch.receiver.story import Event


@dataclass(frozen=True, slots=True)
class Case:
    """One alert that asks for actions; `event` is what it did to the incident.

    `again` tells apart the times at which an incident came to be as bad as it had been before.
    """

    connection: Connection
    settings: ReceiverConfig
    incident: Incident
    alert: Alert
    event: Event
    now: datetime
    again: str = ""

    @property
    def once(self) -> str:
        """What names the trouble that people are told of and escalated to, once."""
        # The severity is part of it: an incident that became worse tells and escalates once more (the worst that is
        # true now).
        return f"{self.incident.severity}{self.again}"

    @property
    def summary(self) -> str:
        """What the alert says in one sentence, if anything."""
        return self.alert.annotations.get(AlertAnnotation.SUMMARY, "").strip()

    def note(self, kind: Kind, text: str) -> None:
        """Add a line to the incident's timeline."""
        timeline.write(self.connection, self.incident.id, self.now, kind, text)

    def queue_for_incident(self, kind: str) -> None:
        """Queue a job of this kind, once an incident."""
        self._queue(kind, f"{kind}:{self.incident.id}", f"{kind}:{self.incident.id}", {})

    def queue_once(self, kind: str, *, which: str = "", serial_key: str = "", **payload: str) -> None:
        """Queue a job of this kind, once an incident and severity; `which` tells several of a kind apart."""
        # The key outlives the job: a queue that saw it never takes it again, which is what makes it once.
        key = f"{kind}:{self.incident.id}:{self.incident.severity}:{which}"
        self._queue(kind, key, serial_key or f"{kind}:{self.incident.id}:{which}", payload)

    def _queue(self, kind: str, key: str, serial_key: str, payload: dict[str, str]) -> None:
        incident = self.incident
        job = NewJob(
            kind=kind,
            key=key,
            serial_key=serial_key,
            run_at=self.now,
            urgency=urgency.of(incident.severity),
            incident_id=incident.id,
            payload={"alert": self.alert.name, "severity": incident.severity, **payload},
        )
        enqueue(self.connection, self.now, job)


@dataclass(frozen=True, slots=True)
class Action:
    """An action that a strategy or an alert can ask for: how it is queued, and which handler does which of its jobs.

    Each action's module declares its own; `actions.registry` has them all.
    """

    name: ActionName
    queue: Callable[[Case], None]
    handlers: Mapping[str, Callable[[Context, Job], Awaitable[Outcome]]] = field(default_factory=dict)
