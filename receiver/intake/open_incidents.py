"""What alerts do to open incidents: open one, join it, make it worse; each with what is queued and said at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.conventions import AlertAnnotation
from deploywatch.plurals import number_of
from deploywatch.quantity import format_duration, parse_duration
from deploywatch.receiver.actions.queueing import Case, queue_all
from deploywatch.receiver.actions.rollback import reconsider
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.escalation import escalate
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.alerts import alert_store, alert_views
from deploywatch.receiver.incidents.decide import (
    Decision,
    Effect,
    worse,
)
from deploywatch.receiver.incidents.gathered_lines import GatheredLines
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.lifecycle import durations
from deploywatch.receiver.notify.queueing import tell
from deploywatch.receiver.settings import strategy
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.response import cannot_wait
from deploywatch.receiver.settings.strategy import Severity, incident_type
from deploywatch.receiver.settings.targets import correlation
from deploywatch.receiver.story import Event

_TITLE_LIMIT = 300
_NAMED = 5
_NAME_SHOWN = 100


@dataclass(slots=True)
class OpenIncidents:
    """The open incidents that one transaction knows, by the key of their alerts."""

    connection: Connection
    settings: ReceiverConfig
    now: datetime
    by_key: dict[str, Incident]
    joined: dict[str, Incident] = field(default_factory=dict)
    """Those that have changed and are not written yet: a storm changes the same one again and again."""
    asked: set[tuple[int, str, str]] = field(default_factory=set)
    lines: GatheredLines = field(init=False)
    heard: dict[tuple[str, Severity], tuple[str, ...]] = field(default_factory=dict)
    bad: dict[int, Severity] = field(default_factory=dict)
    """The worst severity of which each incident's alerts are known to be, by those that fire or ended a while ago."""
    lesser: dict[tuple[int, Severity], bool] = field(default_factory=dict)
    """Whether only alerts less bad than a severity have fired for an incident for the quiet time, as the store says."""
    reopened: set[int] = field(default_factory=set)
    """Those that fire again within their quiet time, in which they were called after the worst that they had had."""
    queued: bool = False

    def __post_init__(self) -> None:
        self.lines = GatheredLines(self.connection, self.now)

    def begin(self, alert: Alert, severity: Severity, key: str) -> int:
        """Open an incident for an alert, with all that follows at once; its number."""
        service, environment = self.settings.target(alert)
        incident = store.add(
            self.connection,
            Incident(
                id=0,
                service=service,
                environment=environment,
                severity=severity,
                type=incident_type(alert),
                title=title_of(alert),
                channels=self._channels(alert, severity),
                opened_at=self.now,
                correlation=correlation(alert, self.settings.further_labels),
            ),
        )
        durations.opened(self.connection, incident)
        emit(self.connection, self.settings, facts.incident_opened(incident), self.now)
        self.bad[incident.id] = severity
        known = [severity, incident.type, *(f"{name}={value}" for name, value in incident.correlation.items())]
        self.lines.write(incident.id, Kind.OPENED, f"opened by {alert.name}: {', '.join(known)}")
        if unknown := strategy.unknown_channels(alert, self.settings.channels):
            names = ", ".join(repr(name[:_NAME_SHOWN]) for name in unknown[:_NAMED])
            more = f" and {number_of(len(unknown) - _NAMED, 'other')}" if len(unknown) > _NAMED else ""
            self.lines.write(
                incident.id, Kind.NOT_TOLD, f"{alert.name} names channels that this receiver lacks: {names}{more}"
            )
        self._act(incident, alert, key, Event.OPENED, self.settings.strategy.immediate(severity, alert))
        return incident.id

    def join(self, alert: Alert, severity: Severity, key: str, incident: Incident, decision: Decision) -> int:
        """Take an alert into the incident that is open for it; its number."""
        self.lines.gather(incident.id, Kind.JOINED, joined_text(alert, severity))
        if incident.quiet_since:
            self.lines.write(
                incident.id, Kind.REOPENED, f"{alert.name} fires within the quiet time; the incident goes on"
            )
        reopened = bool(incident.quiet_since)
        if reopened:
            self.reopened.add(incident.id)
        if reopened and self.settings.rollback.targets:
            reconsider.look_now(self.connection, incident.service, incident.environment, self.now)
        new = tuple(name for name in self._channels(alert, severity) if name not in incident.channels)
        if new or incident.quiet_since:
            incident = replace(incident, quiet_since=None, channels=(*incident.channels, *new))
            self.by_key[key] = self.joined[key] = incident
        if decision.effect is Effect.WORSEN:
            self.bad[incident.id] = severity
            self._worsen(alert, severity, key, incident)
            return incident.id
        if not reopened and self._is_bad_again(incident, severity):
            self._worsen_again(alert, severity, key, incident)
            return incident.id
        # What the severity asks for is under way; whether to roll back is decided for each alert that asks.
        under_way = self.settings.strategy.of(incident.severity).immediate
        wanted = [
            action
            for action in self.settings.strategy.immediate(severity, alert)
            if (action == "rollback" and self.settings.rollback.targets)
            or (action in strategy.asked(alert) and action not in under_way)
        ]
        self._act(incident, alert, key, Event.OPENED, wanted)
        if new and "notify" in self.settings.strategy.of(severity).immediate:
            self.queued = True
            summary = alert.annotations.get(AlertAnnotation.SUMMARY, "").strip()
            tell(
                self.connection,
                self.settings,
                incident,
                Event.OPENED,
                self.now,
                once=severity,
                note=summary,
                channels=new,
            )
        return incident.id

    def _worsen(self, alert: Alert, severity: Severity, key: str, incident: Incident) -> None:
        text = f"severity raised from {incident.severity} to {severity} by {alert.name}"
        if incident.acknowledged_at:
            text += f"; {incident.acknowledged_by} acknowledged the smaller trouble, so nobody has this one yet"
        self.lines.write(incident.id, Kind.WORSENED, text)
        before = incident.severity
        # What people were told of, or took in hand, was the smaller trouble: they hear of this one anew.
        under_way = set(self.settings.strategy.of(incident.severity).immediate) - {"notify", "rollback", "escalate"}
        incident = replace(
            incident,
            severity=severity,
            title=title_of(alert),
            type=incident_type(alert),
            acknowledged_at=None,
            acknowledged_by=None,
        )
        self.by_key[key] = self.joined[key] = incident
        emit(self.connection, self.settings, facts.incident_worsened(incident, self.now, before), self.now)
        wanted = self.settings.strategy.immediate(severity, alert)
        self._act(incident, alert, key, Event.WORSENED, [action for action in wanted if action not in under_way])

    def _is_bad_again(self, incident: Incident, severity: Severity) -> bool:
        """Whether only lesser alerts have fired for the quiet time: what was as bad was over, though they lingered.

        What cannot wait is then a trouble of its own, whoever took the one before in hand.
        """
        known = self.bad.get(incident.id)
        if not cannot_wait(severity) or (known and not worse(severity, known)):
            return False
        self.bad[incident.id] = severity
        if (incident.id, severity) not in self.lesser:
            # Of all that the transaction may ask about, as each would be a statement of its own.
            asked = {incident.id, *(each.id for each in self.by_key.values())}
            since = self.now - self.settings.quiet_time
            lesser = alert_store.only_lesser_since(self.connection, asked, severity, since)
            self.lesser.update({(number, severity): number in lesser for number in asked})
        return self.lesser[incident.id, severity]

    def _worsen_again(self, alert: Alert, severity: Severity, key: str, incident: Incident) -> None:
        text = (
            f"{alert.name} is {severity}, and nothing as bad has fired for {format_duration(self.settings.quiet_time)}"
        )
        if incident.acknowledged_at:
            text += f"; {incident.acknowledged_by} acknowledged what was before, so nobody has this yet"
        self.lines.write(incident.id, Kind.WORSENED, text)
        incident = replace(
            incident, title=title_of(alert), type=incident_type(alert), acknowledged_at=None, acknowledged_by=None
        )
        self.by_key[key] = self.joined[key] = incident
        emit(self.connection, self.settings, facts.incident_worsened(incident, self.now, incident.severity), self.now)
        wanted = [
            action
            for action in self.settings.strategy.immediate(severity, alert)
            if action in ("notify", "rollback", "escalate")
        ]
        self._act(incident, alert, key, Event.WORSENED, wanted, again=f"@{self.now.isoformat()}")

    def _act(
        self, incident: Incident, alert: Alert, key: str, event: Event, actions: Sequence[str], *, again: str = ""
    ) -> None:
        """Queue the actions, each once for an event of the incident in this transaction, however many ask for it."""
        wanted = [action for action in actions if (incident.id, event, action) not in self.asked]
        after = alert.annotations.get(AlertAnnotation.ESCALATE_AFTER, "")
        timed = bool(after) and (incident.id, "after", after) not in self.asked
        if not wanted and not timed:
            return
        self.queued = True
        self.asked.update((incident.id, event, action) for action in wanted)
        self.asked.add((incident.id, "after", after))
        # Actions write lines of their own, which must stand behind those that led to them.
        self.lines.flush()
        if key in self.joined:
            # Whoever acts reads the incident from the store, and must find it as it is now.
            store.save(self.connection, self.joined.pop(key))
        queue_all(Case(self.connection, self.settings, incident, alert, event, self.now, again), wanted)
        if timed:
            self._escalate_later(incident, alert, after, again)
        self.by_key[key] = store.get(self.connection, incident.id)

    def _escalate_later(self, incident: Incident, alert: Alert, after: str, again: str) -> None:
        try:
            escalate.later(self.connection, incident, self.now, parse_duration(after), again)
        except ValueError as error:
            self.lines.write(incident.id, Kind.ACTION_REFUSED, f"escalate_after of {alert.name}: {error}")

    def _channels(self, alert: Alert, severity: Severity) -> tuple[str, ...]:
        key = (alert.annotations.get(AlertAnnotation.CHANNELS, ""), severity)
        if key not in self.heard:
            by_severity, known = self.settings.notify.by_severity, self.settings.channels
            self.heard[key] = strategy.channels(alert, by_severity, severity, known)
        return self.heard[key]


def joined_text(alert: Alert, severity: Severity) -> str:
    """What the timeline calls an alert that joins."""
    return f"{alert.name} ({severity})"


def title_of(alert: Alert) -> str:
    """What an incident is called after an alert."""
    return (alert_views.view(alert, "").summary or alert.name)[:_TITLE_LIMIT]
