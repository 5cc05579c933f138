"""What an incident asks of people next, and when: escalation while nobody has it, then updates and the review."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from deploywatch.receiver.escalation import escalate, timers
from deploywatch.receiver.escalation.on_call import reach
from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.chunks import chunks
from deploywatch.receiver.store.schema import jobs


@dataclass(frozen=True, slots=True)
class NextStep:
    """The next step of an escalation: when it is due, and whom it calls, people or else channels."""

    at: datetime
    whom: tuple[str, ...]


def next_steps(connection: Connection, settings: ReceiverConfig, incidents: Iterable[Incident]) -> dict[int, NextStep]:
    """By incident that waits for somebody, its next step; those that have none left are missing."""
    waiting = {incident.id: incident for incident in incidents if incident.waits_for_somebody}
    query = select(jobs.c.incident_id, jobs.c.kind, jobs.c.run_at, jobs.c.payload).where(
        jobs.c.kind.in_((timers.STEP, escalate.KIND)), jobs.c.state == State.READY
    )
    steps: dict[int, NextStep] = {}
    # In pieces: a database takes only so many values in one IN.
    for chunk in chunks(waiting):
        rows = connection.execute(query.where(jobs.c.incident_id.in_(chunk)).order_by(jobs.c.run_at))
        for number, kind, run_at, payload in rows:
            incident = waiting[number]
            # A step of a severity that it has no more comes to nothing.
            if number in steps or (kind == timers.STEP and payload["severity"] != incident.severity):
                continue
            reached = reach(settings.oncall, payload.get("who", ()), incident.service, run_at)
            channels = (*reached.channels, *payload.get("channels", ())) or escalate.wanted(settings)
            steps[number] = NextStep(run_at, reached.names or tuple(dict.fromkeys(channels)))
    return steps


def next_update(connection: Connection, settings: ReceiverConfig, incident: Incident) -> datetime | None:
    """When people expect to hear how it stands; None where nobody has it in hand, it is over, or nothing is due."""
    if incident.acknowledged_at is None or incident.resolved_at is not None:
        return None
    waiting = select(jobs.c.payload).where(
        jobs.c.kind == timers.UPDATE, jobs.c.incident_id == incident.id, jobs.c.state == State.READY
    )
    payload = connection.execute(waiting).scalars().first() or {}
    return update_due(connection, settings, incident, payload.get("promised"))


def update_due(
    connection: Connection, settings: ReceiverConfig, incident: Incident, promised: str | None
) -> datetime | None:
    """When the next status update is due: as a person promised, else as often as the severity says."""
    every = settings.response.update_every(incident.severity)
    # What was promised to people counts before what the configuration says.
    if promised and incident.acknowledged_at:
        return datetime.fromisoformat(promised)
    if every is None:
        return None
    updates = timeline.moments(connection, incident.id, Kind.UPDATE)
    return (updates[-1] if updates else incident.acknowledged_at or incident.opened_at) + every


def review_due(settings: ReceiverConfig, incident: Incident) -> datetime | None:
    """Until when its review is to be done; None where it is not over, reviewed, or of a severity that needs none."""
    required = settings.response.review
    if incident.resolved_at is None or incident.reviewed_at or incident.severity not in required.severities:
        return None
    return incident.resolved_at + required.within
