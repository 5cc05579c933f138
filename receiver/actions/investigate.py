"""Investigate: what is known at once goes on the timeline and is kept: alerts, deployments, health, signals, logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.errors import UnreachableError
from deploywatch.receiver.actions import attachments
from deploywatch.receiver.actions.attachments import Found
from deploywatch.receiver.actions.rollback import signal_check
from deploywatch.receiver.actions.rollback.verify import look
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.executors import command
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.settings import placeholders
from deploywatch.receiver.settings.actions.investigate import Log
from deploywatch.receiver.story import AlertView

KIND = "investigate"
_DEPLOYMENTS = 10
_NAMED = 3
_NO_HEALTH = "no health address is configured for this service"


def queue(case: Case) -> None:
    """Queue the investigation, once for an incident and severity."""
    case.queue_once(KIND)


async def handle(context: Context, job: Job) -> Outcome:
    """Collect what is known, keep it with the incident, and name it on the timeline."""
    incident, alerts, deployed = await context.store.read_together(lambda c: _known(c, job.incident_id))
    health, signals, logs = await asyncio.gather(
        _health(context, incident), _signals(context, incident), _logs(context, incident)
    )
    # Read again: the alerts of a minute ago beside the logs of now would tell a wrong story.
    if signals or logs or health != _NO_HEALTH:  # which took a while
        incident, alerts, deployed = await context.store.read(lambda c: _known(c, job.incident_id))

    def record(connection: Connection) -> None:
        now = context.clock()
        findings = (*_facts(alerts, deployed), *signals, *logs)
        numbers = attachments.keep(connection, incident.id, findings, now)
        kept = [f"{finding.name} ({number})" for finding, number in zip(findings, numbers, strict=True)]
        text = "; ".join((*_findings(alerts, deployed), f"health: {health}", f"kept: {', '.join(kept)}"))
        timeline.write(connection, incident.id, now, Kind.INVESTIGATED, text)

    return done(record=record)


def _known(connection: Connection, incident_id: int) -> tuple[Incident, Sequence[AlertView], Sequence[Deployment]]:
    """The incident, those of its alerts that fire, and the last deployments of its target."""
    incident = store.get(connection, incident_id)
    deployed = ledger.recent(
        connection, limit=ledger.LATEST, service=incident.service, environment=incident.environment
    )
    alerts = [alert for alert in alert_views.views(connection, incident.id) if alert.firing]
    return incident, alerts, deployed[:_DEPLOYMENTS]


async def _health(context: Context, incident: Incident) -> str:
    target = context.settings.rollback.target(incident.service, incident.environment)
    if target is None:
        return _NO_HEALTH
    return (await look(context.http, target.verify.url, incident.service, incident.environment, None)).detail


async def _signals(context: Context, incident: Incident) -> list[Found]:
    """Every configured number as it is now, in one text; one that gives no answer says why."""
    lines = []
    for query in context.settings.investigate.signals:
        try:
            values = await signal_check.values(
                context, context.settings.prometheus, query, incident.service, incident.environment
            )
            shown = ", ".join(f"{value:.6g}" for value in values[:20]) or "no data"
        except UnreachableError as error:
            shown = f"no answer: {error}"
        lines.append(f"{query.title}: {shown}")
    return [Found("signals", "\n".join(lines) + "\n")] if lines else []


async def _logs(context: Context, incident: Incident) -> list[Found]:
    fitting = [log for log in context.settings.investigate.logs if log.covers(incident.service, incident.environment)]
    return list(await asyncio.gather(*(_log(context, log, incident) for log in fitting)))


async def _log(context: Context, log: Log, incident: Incident) -> Found:
    values = {"service": incident.service, "environment": incident.environment}
    try:
        argv = placeholders.fill(log.command or (), values)
    except ValueError as error:
        return Found(log.name, f"not fetched: {error}\n")
    ran = await command.run(argv, log.timeout, environment=context.settings.commands.environment)
    ended = "" if ran.good else f"{'' if ran.output.endswith(chr(10)) else chr(10)}[the command {ran.end}]\n"
    return Found(log.name, context.conceal(ran.output) + ended)


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
    return _json("alerts", alerts), _json("deployments", [deployment.to_json() for deployment in deployed])


def _json(name: str, value: object) -> Found:
    return Found(name, json.dumps(value, indent=2, default=datetime.isoformat) + "\n", "application/json")


def _findings(firing: Sequence[AlertView], deployed: Sequence[Deployment]) -> list[str]:
    last = [
        f"{deployment.version} ({deployment.status}, began {deployment.started_at:%Y-%m-%d %H:%M:%S} UTC)"
        for deployment in deployed[:_NAMED]
    ]
    return [
        f"firing: {', '.join(alert.name for alert in firing) or 'nothing'}",
        f"last deployments: {', '.join(last) or 'none known'}",
    ]


ACTION = Action("investigate", queue, {KIND: handle})
