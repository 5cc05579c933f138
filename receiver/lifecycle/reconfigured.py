"""After another configuration was taken over: what it says counts for the incidents that are open, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, delete, select

from deploywatch.receiver.actions.rollback import reconsider, rollback
from deploywatch.receiver.actions.rollback.history import asks
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation import timers
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.alerts import alert_store, alert_views
from deploywatch.receiver.incidents.case import Case
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.lifecycle import checklist, opening
from deploywatch.receiver.notify.queueing import heard, tell
from deploywatch.receiver.settings import strategy
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.strategy import Severity
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event
from deploywatch.receiver.suppression import holding

_AT_ONCE = 50
"""Incidents of one transaction, so that webhooks need not wait for all of them."""


async def apply(context: Context) -> None:
    """Have every open incident go by the configuration: rollbacks, deadlines, channels, checklist, what is held.

    StoreError when the store fails; once more then does the rest, and nothing twice.
    """
    unresolved = await context.store.read(lambda connection: [open_.id for open_ in store.unresolved(connection)])
    for start in range(0, len(unresolved), _AT_ONCE):
        chunk = unresolved[start : start + _AT_ONCE]

        def write(connection: Connection, numbers: list[int] = chunk) -> None:
            for number in numbers:
                _apply(connection, context.settings, store.get(connection, number), context.clock())

        await context.store.write(write)
    await context.store.write(lambda connection: _look(connection, context.clock()))


def _look(connection: Connection, now: datetime) -> None:
    reconsider.look_everywhere(connection, now)
    # A window of the configuration may be gone, or end earlier.
    holding.look_again(connection, now)


def _apply(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime) -> None:
    if incident.resolved_at:
        return
    incident = _reach_somebody(connection, settings, incident, now)
    incident = _reach_more(connection, settings, incident, now)
    # What people have ticked stays, also where the configuration no longer has it.
    checklist.add(connection, incident.id, settings.strategy.of(incident.severity))
    _ask_for_rollbacks(connection, settings, incident, now)
    if incident.acknowledged_at:
        timers.updates(connection, settings, incident, now)
    else:
        _set_deadlines(connection, settings, incident)


def _reach_somebody(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime) -> Incident:
    """Where a channel of the incident is gone, those that the configuration names now hear of it instead."""
    gone = [name for name in incident.channels if name not in settings.channels]
    if not gone:
        return incident
    kept = tuple(name for name in incident.channels if name in settings.channels)
    leading = alert_store.leading(connection, incident.id)
    known, by_severity = settings.channels, settings.notify.by_severity
    if leading:
        named = strategy.channels(leading, by_severity, incident.severity, known)
    else:
        named = tuple(by_severity.get(incident.severity, known))
    new = tuple(name for name in named if name not in kept)
    changed = replace(incident, channels=(*kept, *new))
    store.save(connection, changed)
    instead = f"{', '.join(new)} instead" if new else f"{', '.join(kept)} alone"
    text = f"{', '.join(gone)} is no longer configured: from here on the incident is told to {instead}"
    timeline.write(connection, incident.id, now, Kind.FELL_BACK, text)
    # Who hears how it goes on must hear how it began; what is only logged nobody heard of, and nobody does now.
    if heard(connection, incident):
        tell(connection, settings, changed, Event.OPENED, now, once=f"instead of {gone}", channels=new)
    return changed


def _reach_more(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime) -> Incident:
    """Channels that the configuration names for what fires, and that are new to the incident, hear how it began.

    Not of what somebody has in hand: that would call more people for nothing. They come in when it becomes worse.
    """
    if incident.acknowledged_at:
        return incident
    by_severity, known = settings.notify.by_severity, settings.channels
    named = [
        name
        for alert, severity in _own(connection, settings, incident)
        if "notify" in settings.strategy.immediate(severity, alert)
        for name in strategy.channels(alert, by_severity, severity, known)
    ]
    new = tuple(name for name in dict.fromkeys(named) if name not in incident.channels)
    if not new:
        return incident
    changed = replace(incident, channels=(*incident.channels, *new))
    store.save(connection, changed)
    text = f"the configuration names {', '.join(new)} as well: from here on the incident is told there, too"
    timeline.write(connection, incident.id, now, Kind.CHANNELS_ADDED, text)
    tell(connection, settings, changed, Event.OPENED, now, once=f"added {new}", channels=new)
    return changed


def _own(connection: Connection, settings: ReceiverConfig, incident: Incident) -> Iterator[tuple[Alert, Severity]]:
    """The alerts of the incident's own service that fire: a victim of a dependency asks for nothing here."""
    where = (incident.service, incident.environment)
    for alert, severity in alert_views.firing_with_severity(connection, incident.id):
        if settings.target(alert) == where:
            yield alert, cast("Severity", severity)


def _ask_for_rollbacks(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime) -> None:
    """Decide about a rollback for each alert that asks for one by now; what was decided before is not asked again."""
    for alert, severity in _own(connection, settings, incident):
        if asks(settings, alert, severity):
            rollback.queue(Case(connection, settings, incident, alert, Event.OPENED, now))


def _set_deadlines(connection: Connection, settings: ReceiverConfig, incident: Incident) -> None:
    """Queue the reminder and the steps that are still to come as the configuration has them, counted as before."""
    begun = select(jobs).where(
        jobs.c.incident_id == incident.id, jobs.c.kind == timers.BEGIN, jobs.c.state == State.DONE
    )
    rows = connection.execute(begun.order_by(jobs.c.id.desc())).mappings().all()
    row = next((row for row in rows if row["payload"]["severity"] == incident.severity), None)
    if row is None:
        return
    # What was tried waits for somebody's hours or the end of a window, and goes on with that.
    untouched = (jobs.c.state == State.READY, jobs.c.attempts == 0)
    which = (jobs.c.incident_id == incident.id, jobs.c.kind.in_((timers.REMINDER, timers.STEP)))
    connection.execute(delete(jobs).where(*which, *untouched))
    opening.set_deadlines(connection, settings, incident, row["payload"], row["created_at"])
