"""What people do to an incident: take it in hand, lead it, say how it stands, tick what is done, review it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.actions.rollback.approval import Approval
from deploywatch.receiver.escalation import timers
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.lifecycle import checklist, durations
from deploywatch.receiver.lifecycle.checklist import Check
from deploywatch.receiver.notify.queueing import heard, tell
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.story import Event


def acknowledge(
    connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime, *, by: str, note: str
) -> Incident:
    """Acknowledge the incident for a person, who leads it until somebody else does (001, B11); a second time: nothing.

    What waited for an acknowledgement stops by itself; status updates are due from now on.
    """
    if incident.resolved_at or incident.acknowledged_at:
        return incident
    known = replace(incident, acknowledged_at=now, acknowledged_by=by, commander=incident.commander or by)
    store.save(connection, known)
    durations.acknowledged(connection, known)
    timeline.write(connection, incident.id, now, Kind.ACKNOWLEDGED, note or "acknowledged", actor=by)
    emit(connection, settings, facts.incident_acknowledged(known, now), now)
    if not incident.commander:
        _leads(connection, settings, known, now, by=by)
    due = timers.updates(connection, settings, known, now)
    timers.promise(connection, known, now, None)  # what was promised about a smaller trouble does not hold for this one
    channels = heard(connection, known)
    more = {"next_update": due} if due else None
    # Whoever takes it in hand after it became worse is told of, too.
    once = now.isoformat()
    tell(connection, settings, known, Event.ACKNOWLEDGED, now, once=once, note=note, channels=channels, more=more)
    return known


def give_back(
    connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime, *, by: str, note: str
) -> Incident:
    """Void an acknowledgement that was given back: deadlines and escalation begin anew, and people hear of it."""
    if incident.resolved_at or not incident.acknowledged_at:
        return incident
    had = incident.acknowledged_by
    known = replace(incident, acknowledged_at=None, acknowledged_by=None)
    store.save(connection, known)
    text = f"{note}: {had} has it no more, so nobody has it"
    timeline.write(connection, incident.id, now, Kind.GIVEN_BACK, text, actor=by)
    again = now.isoformat()
    timers.begin(connection, known, now, f"@{again}", held=False)
    headline = {"headline": "Nobody has it any more"}
    channels = heard(connection, known)
    tell(connection, settings, known, Event.UPDATE, now, once=again, note=text, channels=channels, more=headline)
    return known


def approve(
    connection: Connection, settings: ReceiverConfig, asked: Approval, *, yes: bool, by: str, note: str, now: datetime
) -> str:
    """Record a person's approval or rejection; why it does not count, or empty. Who approves acknowledges as well.

    Who says no has not: the trouble goes on, and whoever is on call hears of it as before.
    """
    refused = approval.answer(connection, asked, yes=yes, by=by, note=note, now=now)
    if yes and not refused:
        incident = store.get(connection, asked.incident_id)
        acknowledge(connection, settings, incident, now, by=by, note="approved the rollback, and so has it in hand")
    return refused


def command(
    connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime, *, by: str, leader: str
) -> Incident:
    """Make a person the incident's commander."""
    if incident.resolved_at or incident.commander == leader:
        return incident
    led = replace(incident, commander=leader)
    store.save(connection, led)
    _leads(connection, settings, led, now, by=by)
    return led


def mitigate(connection: Connection, incident: Incident, now: datetime, *, by: str, note: str, over: bool) -> Incident:
    """Record that a mitigation is under way, or that it has ended."""
    if incident.resolved_at or over != bool(incident.mitigating_since):
        return incident
    changed = replace(incident, mitigating_since=None if over else now)
    store.save(connection, changed)
    text = "mitigation is over" if over else "mitigation is under way"
    timeline.write(connection, incident.id, now, Kind.MITIGATING, f"{text}: {note}" if note else text, actor=by)
    return changed


def update(
    connection: Connection,
    settings: ReceiverConfig,
    incident: Incident,
    now: datetime,
    *,
    by: str,
    note: str,
    next_in: timedelta | None = None,
) -> Incident:
    """Send a status update to everyone who heard of the incident, with the time of the next one."""
    due = now + (next_in or settings.response.update_every(incident.severity) or timedelta())
    timeline.write(connection, incident.id, now, Kind.UPDATE, note, actor=by)
    timers.promise(connection, incident, now, due if next_in else None)
    more = {"next_update": due} if due > now and not incident.resolved_at else None
    channels = heard(connection, incident)
    tell(
        connection, settings, incident, Event.UPDATE, now, once=now.isoformat(), note=note, channels=channels, more=more
    )
    return incident


def tick(
    connection: Connection,
    settings: ReceiverConfig,
    incident: Incident,
    now: datetime,
    *,
    by: str,
    item: int,
    done: bool,
) -> Check | None:
    """Tick an item of the checklist, or untick it; None when it has no such item. A second time changes nothing."""
    checklist.add(connection, incident.id, settings.strategy.of(incident.severity))
    known = next((check for check in checklist.checks(connection, incident.id) if check.item == item), None)
    if known is None or bool(known.done_at) == done:
        return known
    state = "done" if done else "not done after all"
    timeline.write(connection, incident.id, now, Kind.CHECKED, f"{known.text}: {state}", actor=by)
    return checklist.tick(connection, incident.id, item, now if done else None, by if done else None)


def review(connection: Connection, incident: Incident, now: datetime, *, by: str, note: str) -> Incident:
    """Mark the review of an incident that is over as done, which stops its reminder. A second time changes nothing."""
    if incident.reviewed_at or not incident.resolved_at:
        return incident
    known = replace(incident, reviewed_at=now, reviewed_by=by)
    store.save(connection, known)
    timeline.write(
        connection, incident.id, now, Kind.REVIEWED, f"review done: {note}" if note else "review done", actor=by
    )
    return known


def _leads(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime, *, by: str) -> None:
    bridge = settings.response.bridge_of(incident.id)
    text = f"{incident.commander} leads the incident{f'; bridge: {bridge}' if bridge else ''}"
    timeline.write(connection, incident.id, now, Kind.COMMANDER, text, actor=by)
