"""When an incident opens or becomes worse: its checklist, its deadlines, and what it probably comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from deploywatch.receiver.actions.queueing import Case, queue_all
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.escalation import escalate, timers
from deploywatch.receiver.escalation.on_call import reach
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.alerts import alert_store, alert_views
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.lifecycle import checklist, probable_cause
from deploywatch.receiver.lifecycle.probable_cause import Hint
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.causes import TELL_OWNER
from deploywatch.receiver.story import AlertView, Event
from deploywatch.receiver.suppression import gate


async def handle(context: Context, job: Job) -> Outcome:
    """Set up the checklist, the deadlines and the probable cause, unless the incident is over."""
    alerts, deployed = await context.store.read_together(lambda connection: _facts(connection, job))

    def record(connection: Connection) -> None:
        incident, settings = store.get(connection, job.incident_id), context.settings
        # Before the look whether it is over: the review has the checklist too.
        checklist.add(connection, incident.id, settings.strategy.of(incident.severity))
        if incident.resolved_at:
            return
        # Became worse meanwhile: that has a job of its own with shorter deadlines.
        if incident.severity == job.payload["severity"] and not incident.acknowledged_at:
            set_deadlines(connection, settings, incident, job.payload, job.created_at)
        timers.updates(connection, settings, incident, context.clock())
        hint = probable_cause.hint(alerts, deployed, incident.opened_at, settings.causes)
        _write_cause(connection, settings, incident, hint, context.clock())

    return done(record=record)


def set_deadlines(
    connection: Connection,
    settings: ReceiverConfig,
    incident: Incident,
    begun: Mapping[str, Any],
    at: datetime,
) -> None:
    """Queue the deadlines of what began at that time, with what was noted then (`timers.begin`)."""
    hold = gate.window_of(connection, settings, incident, at) if begun.get("held", True) else None
    # Who is not told yet cannot respond: their time begins when they will be.
    since = hold.until if hold and not hold.tell else at
    timers.deadlines(connection, settings, incident, since, begun.get("again", ""))


def _facts(connection: Connection, job: Job) -> tuple[Sequence[AlertView], Sequence[Deployment]]:
    """What the cause can be told from: the incident's alerts, and the last deployments of its target."""
    incident = store.get(connection, job.incident_id)
    deployed = ledger.recent(
        connection, limit=ledger.LATEST, service=incident.service, environment=incident.environment
    )
    return alert_views.views(connection, incident.id), deployed


def _write_cause(
    connection: Connection, settings: ReceiverConfig, incident: Incident, hint: Hint, now: datetime
) -> None:
    # The timeline is no place to say the same guess again.
    if (hint.cause, hint.why) == (incident.cause, incident.cause_why):
        return
    store.save(connection, replace(incident, cause=hint.cause, cause_why=hint.why))
    timeline.write(connection, incident.id, now, Kind.CAUSE, str(hint))
    # The words may change by the minute; actions follow only from another cause.
    if hint.cause != incident.cause:
        _answer(connection, settings, incident, hint, now)


def _answer(connection: Connection, settings: ReceiverConfig, incident: Incident, hint: Hint, now: datetime) -> None:
    """Queue the actions that the config names for this cause, if any."""
    actions = settings.causes.actions.get(hint.cause, ())
    if TELL_OWNER in actions:
        _tell_owner(connection, settings, store.get(connection, incident.id), hint, now)
    others = [action for action in actions if action != TELL_OWNER]
    if others and (alert := alert_store.leading(connection, incident.id)):
        case = Case(connection, settings, store.get(connection, incident.id), alert, Event.OPENED, now)
        queue_all(case, others)


def _tell_owner(
    connection: Connection, settings: ReceiverConfig, incident: Incident, hint: Hint, now: datetime
) -> None:
    owner = settings.causes.owners.get(hint.dependency) or settings.causes.owners.get("*")
    channels = reach(settings.oncall, [owner], incident.service, now).channels if owner else ()
    if not channels:
        text = f"nobody is configured as the owner of {hint.dependency or 'the dependency'}, so nobody is told"
        timeline.write(connection, incident.id, now, Kind.ACTION_REFUSED, text)
        return
    why = f"{owner} owns {hint.dependency or 'the dependency'}; {hint.why}"
    escalate.at_once(connection, settings, incident, now, why=why, once=f"owner:{owner}", channels=channels)
