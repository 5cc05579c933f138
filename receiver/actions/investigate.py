"""Investigate: what is known at once goes on the timeline and is kept: alerts, deployments, health, signals, logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.errors import UnreachableError
from receiver.actions import attachments, command
from receiver.actions.attachments import Found
from receiver.actions.case import Case
from receiver.actions.rollback import readings
from receiver.actions.rollback.verify import look
from receiver.actions.settings.investigate import Log
from receiver.deployments import ledger
from receiver.deployments.ledger import Deployment
from receiver.desk import Desk
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.jobs import Job, Outcome, done
from receiver.messages import AlertView

KIND = "investigate"
_DEPLOYMENTS = 10
_NAMED = 3


def queue(case: Case) -> None:
    """Queue the look-round, once an incident and severity."""
    case.queue_once(KIND)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Collect what is known, keep it with the incident, and name it on the timeline."""
    incident = await desk.store.read(lambda connection: book.get(connection, job.incident_id))
    health, signals, logs = await asyncio.gather(
        _health(desk, incident), _signals(desk, incident), _logs(desk, incident)
    )

    def record(connection: Connection) -> None:
        now = desk.clock()
        alerts = [alert for alert in book.alerts_of(connection, incident.id) if alert.firing]
        deployed = ledger.recent(
            connection, limit=_DEPLOYMENTS, service=incident.service, environment=incident.environment
        )
        found = (*_facts(alerts, deployed), *signals, *logs)
        kept = [f"{one.name} ({attachments.keep(connection, incident.id, one, now)})" for one in found]
        text = "; ".join((*_findings(alerts, deployed), f"health: {health}", f"kept: {', '.join(kept)}"))
        book.write_line(connection, incident.id, now, "investigated", text)

    return done(record=record)


async def _health(desk: Desk, incident: Incident) -> str:
    target = desk.settings.rollback.target(incident.service, incident.environment)
    if target is None:
        return "no health address is configured for this service"
    return (await look(desk.http, target.verify.url, incident.service, incident.environment, None)).detail


async def _signals(desk: Desk, incident: Incident) -> list[Found]:
    """Every configured number as it is now, in one text; one that gives no answer says why."""
    lines = []
    for query in desk.settings.investigate.signals:
        try:
            values = await readings.values(
                desk, desk.settings.prometheus, query, incident.service, incident.environment
            )
            shown = ", ".join(f"{value:.6g}" for value in values[:20]) or "no data"
        except UnreachableError as error:
            shown = f"no answer: {error}"
        lines.append(f"{query.title}: {shown}")
    return [Found("signals", "\n".join(lines) + "\n")] if lines else []


async def _logs(desk: Desk, incident: Incident) -> list[Found]:
    fitting = [log for log in desk.settings.investigate.logs if log.covers(incident.service, incident.environment)]
    return list(await asyncio.gather(*(_log(desk, log, incident) for log in fitting)))


async def _log(desk: Desk, log: Log, incident: Incident) -> Found:
    values = {"service": incident.service, "environment": incident.environment}
    try:
        argv = command.fill(log.command or (), values)
    except ValueError as error:
        return Found(log.name, f"not fetched: {error}\n")
    ran = await command.run(argv, log.timeout)
    ended = "" if ran.good else f"{'' if ran.output.endswith(chr(10)) else chr(10)}[the command {ran.end}]\n"
    return Found(log.name, desk.conceal(ran.output) + ended)


def _facts(firing: Sequence[AlertView], deployed: Sequence[Deployment]) -> tuple[Found, Found]:
    alerts = [
        {
            "name": alert.name,
            "severity": alert.severity,
            "starts_at": alert.starts_at.isoformat(),
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
        }
        for alert in firing
    ]
    return _json("alerts", alerts), _json("deployments", [one.to_json() for one in deployed])


def _json(name: str, value: object) -> Found:
    return Found(name, json.dumps(value, indent=2, default=datetime.isoformat) + "\n", "application/json")


def _findings(firing: Sequence[AlertView], deployed: Sequence[Deployment]) -> list[str]:
    last = [f"{one.version} ({one.status}, began {one.started_at:%Y-%m-%d %H:%M:%S} UTC)" for one in deployed[:_NAMED]]
    return [
        f"firing: {', '.join(alert.name for alert in firing) or 'nothing'}",
        f"last deployments: {', '.join(last) or 'none known'}",
    ]
