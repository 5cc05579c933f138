"""Investigate: put what is known at once on the timeline: firing alerts, recent deployments, the service's health."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from receiver.actions.verify import look
from receiver.deployments import ledger
from receiver.desk import Desk
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.jobs import Job, NewJob, Outcome, done, enqueue

KIND = "investigate"


def queue(connection: Connection, incident: Incident, now: datetime) -> None:
    """Queue the look-round, once an incident and severity."""
    job = NewJob(
        kind=KIND,
        key=f"investigate:{incident.id}:{incident.severity}",
        lane=f"investigate:{incident.id}",
        run_at=now,
        incident_id=incident.id,
    )
    enqueue(connection, now, job)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Collect what is known and write it down."""
    incident = await desk.store.read(lambda connection: book.get(connection, job.incident_id))
    health = "no health address is configured for this service"
    target = desk.settings.rollback.target(incident.service, incident.environment)
    if target is not None:
        health = (await look(desk.http, target.verify.url, incident.service, incident.environment, None)).detail

    def record(connection: Connection) -> None:
        text = "; ".join((*_findings(connection, incident), f"health: {health}"))
        book.write_line(connection, incident.id, desk.clock(), "investigated", text)

    return done(record=record)


def _findings(connection: Connection, incident: Incident) -> list[str]:
    firing = [alert.name for alert in book.alerts_of(connection, incident.id) if alert.firing]
    recent = ledger.recent(connection, limit=3, service=incident.service, environment=incident.environment)
    deployed = [f"{one.version} ({one.status}, began {one.started_at:%Y-%m-%d %H:%M:%S} UTC)" for one in recent]
    return [
        f"firing: {', '.join(firing) or 'nothing'}",
        f"last deployments: {', '.join(deployed) or 'none known'}",
    ]
