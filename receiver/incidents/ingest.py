"""Takes a batch of deliveries into the books, in one transaction: alerts, incidents, timeline and jobs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection, insert

from deploywatch.conventions import AlertAnnotation
from deploywatch.quantity import parse_duration
from receiver import strategy
from receiver.actions import escalate
from receiver.actions.notify import tell
from receiver.actions.queueing import Case, queue_all
from receiver.config import ReceiverConfig
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.incidents.resolution import watch_quiet
from receiver.incidents.rules import Alert, Decision, Effect, Episode, Reason, decide
from receiver.messages import Event
from receiver.store.schema import deliveries
from receiver.strategy import Severity, incident_type, target

_TITLE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook that has been understood: its body as it came, and its alerts."""

    received_at: datetime
    body: bytes
    alerts: tuple[Alert, ...]


@dataclass(slots=True)
class Ingest:
    """The state that one transaction works on; what the alerts do to it is decided alert by alert, in their order."""

    connection: Connection
    settings: ReceiverConfig
    now: datetime
    known: dict[str, tuple[Episode, int | None]]
    open: dict[str, Incident]
    changed: dict[tuple[str, datetime], tuple[Alert, str, int | None]] = field(default_factory=dict)
    touched: dict[int, str] = field(default_factory=dict)
    reasons: Counter[tuple[Effect, Reason]] = field(default_factory=Counter)

    def take(self, alert: Alert) -> None:
        """Decide about one alert and apply the decision."""
        service, environment = target(alert)
        key = book.open_key(service, environment)
        severity = self.settings.strategy.severity(alert)
        incident = self.open.get(key)
        known, incident_id = self.known.get(alert.fingerprint, (None, None))
        decision = decide(alert, known, severity, incident.severity if incident else None)
        self.reasons[decision.effect, decision.reason] += 1
        match decision.effect:
            case Effect.IGNORE:
                return
            case Effect.OPEN:
                incident_id = self._open(alert, severity, key)
            case Effect.JOIN | Effect.WORSEN if incident is not None:
                incident_id = self._join(alert, severity, key, incident, decision)
            case Effect.RESOLVE if incident_id is not None:
                self._line(incident_id, "alert_resolved", f"{alert.name} resolved")
                self.touched[incident_id] = key
            case _:
                pass
        self.known[alert.fingerprint] = (Episode(alert.starts_at, alert.firing, alert.annotations), incident_id)
        self.changed[alert.fingerprint, alert.starts_at] = (alert, severity, incident_id)

    def settle(self) -> None:
        """Write the alerts, and begin the quiet time of incidents whose last alert has resolved."""
        book.save_alerts(self.connection, list(self.changed.values()), self.now)
        for incident_id in self.touched:
            incident = book.get(self.connection, incident_id)
            if not incident.resolved_at and not incident.quiet_since and book.is_quiet(self.connection, incident_id):
                watch_quiet(self.connection, incident, self.now, self.settings.quiet_time)

    def _open(self, alert: Alert, severity: Severity, key: str) -> int:
        service, environment = target(alert)
        title = alert.annotations.get(AlertAnnotation.SUMMARY) or alert.name
        incident = book.add(
            self.connection,
            Incident(
                id=0,
                service=service,
                environment=environment,
                severity=severity,
                type=incident_type(alert),
                title=title[:_TITLE_LIMIT],
                channels=self._channels(alert, severity),
                opened_at=self.now,
            ),
        )
        self._line(incident.id, "opened", f"opened by {alert.name}: {severity}, {incident.type}")
        self._act(incident, alert, key, Event.OPENED, self.settings.strategy.immediate(severity, alert))
        return incident.id

    def _join(self, alert: Alert, severity: Severity, key: str, incident: Incident, decision: Decision) -> int:
        self._line(incident.id, "joined", f"{alert.name} joined: {severity}, {decision.reason}")
        if incident.quiet_since:
            self._line(incident.id, "reopened", f"{alert.name} fires within the quiet time; the incident goes on")
        new = tuple(name for name in self._channels(alert, severity) if name not in incident.channels)
        joined = replace(incident, quiet_since=None, channels=(*incident.channels, *new))
        under_way = set(self.settings.strategy.of(incident.severity).immediate) - {"rollback"}
        if decision.effect is Effect.WORSEN:
            self._line(incident.id, "worsened", f"severity raised from {incident.severity} to {severity}")
            joined, event = replace(joined, severity=severity), Event.WORSENED
            wanted, under_way = self.settings.strategy.immediate(severity, alert), under_way - {"notify"}
        else:
            wanted, event = strategy.asked(alert), Event.OPENED
        book.save(self.connection, joined)
        self._act(joined, alert, key, event, [action for action in wanted if action not in under_way])
        if event is Event.OPENED and "notify" in self.settings.strategy.of(severity).immediate:
            summary = alert.annotations.get(AlertAnnotation.SUMMARY, "")
            tell(self.connection, self.settings, joined, event, self.now, once=severity, note=summary, channels=new)
        return incident.id

    def _act(self, incident: Incident, alert: Alert, key: str, event: Event, actions: Iterable[str]) -> None:
        queue_all(Case(self.connection, self.settings, incident, alert, event, self.now), actions)
        after = alert.annotations.get(AlertAnnotation.ESCALATE_AFTER, "")
        if after:
            try:
                escalate.later(self.connection, incident, self.now, parse_duration(after))
            except ValueError as error:
                self._line(incident.id, "action_refused", f"escalate_after of {alert.name}: {error}")
        self.open[key] = book.get(self.connection, incident.id)

    def _channels(self, alert: Alert, severity: Severity) -> tuple[str, ...]:
        return strategy.channels(alert, self.settings.notify.by_severity, severity, self.settings.channels)

    def _line(self, incident_id: int, kind: str, text: str) -> None:
        book.write_line(self.connection, incident_id, self.now, kind, text)


def ingest(
    connection: Connection, settings: ReceiverConfig, batch: Sequence[Delivery], now: datetime
) -> Counter[tuple[Effect, Reason]]:
    """Store the deliveries and all that follows from them; how often each decision was made comes back."""
    connection.execute(
        insert(deliveries),
        [{"received_at": one.received_at, "alerts": len(one.alerts), "body": one.body} for one in batch],
    )
    alerts = [alert for delivery in batch for alert in delivery.alerts]
    state = Ingest(
        connection,
        settings,
        now,
        known=book.episodes(connection, (alert.fingerprint for alert in alerts)),
        open=book.open_by_key(connection, (book.open_key(*target(alert)) for alert in alerts)),
    )
    for alert in alerts:
        state.take(alert)
    state.settle()
    return state.reasons
