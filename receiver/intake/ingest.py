"""Takes a batch of deliveries into the books, in one transaction: alerts, incidents, timeline and jobs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import format_duration, parse_duration
from deploywatch.receiver.actions.queueing import Case, queue_all
from deploywatch.receiver.actions.rollback import reconsider
from deploywatch.receiver.alert import Alert, source, within
from deploywatch.receiver.escalation import escalate
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit
from deploywatch.receiver.incidents import alerts as incident_alerts
from deploywatch.receiver.incidents import grouping, liveness, recheck, store
from deploywatch.receiver.incidents.anomalies import Anomalies
from deploywatch.receiver.incidents.decide import (
    Decision,
    Effect,
    Episode,
    Reason,
    decide,
    decide_repeated,
    labels_of,
    worse,
)
from deploywatch.receiver.incidents.dedup_cache import AlertCache, Known
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.incidents.gathered_lines import GatheredLines
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.incidents.store import Incident
from deploywatch.receiver.lifecycle import durations
from deploywatch.receiver.lifecycle.resolution import watch_quiet
from deploywatch.receiver.messages import Event
from deploywatch.receiver.notify.notify import heard, tell
from deploywatch.receiver.settings import strategy
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.response import cannot_wait
from deploywatch.receiver.settings.strategy import Severity, correlation, incident_type
from deploywatch.receiver.settings.upstream import Watchdog
from deploywatch.receiver.store import insert_all
from deploywatch.receiver.store.schema import deliveries

_TITLE_LIMIT = 300
_NAMED = 5
_NAMED_LIMIT = 60
_NAME_SHOWN = 100
_HELD = 5_000  # alerts to be written that are held in memory
_UNKNOWN = (None, None)
_HEARD = Decision(Effect.RECORD, Reason.WATCHDOG_HEARD)
_TRUNCATED = Decision(Effect.RECORD, Reason.TRUNCATED)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one transaction did: how often each decision was made, and whether that may have queued jobs."""

    reasons: Counter[tuple[Effect, Reason]]
    queued: bool


@dataclass(slots=True)
class Ingest:
    """The state that one transaction works on; what the alerts do to it is decided alert by alert, in their order.

    What a storm repeats for each alert is gathered and written once at the end: alerts, joined incidents, and their
    lines on the timeline.
    """

    connection: Connection
    settings: ReceiverConfig
    now: datetime
    alert_cache: AlertCache
    known: Known
    open: dict[str, Incident]
    anomalies: Anomalies
    changed: dict[tuple[str, datetime], tuple[Alert, str, int | None]] = field(default_factory=dict)
    joined: dict[str, Incident] = field(default_factory=dict)
    overtaken: set[str] = field(default_factory=set)
    resolved: set[int] = field(default_factory=set)
    asked: set[tuple[int, str, str]] = field(default_factory=set)
    lines: GatheredLines = field(init=False)
    reasons: Counter[tuple[Effect, Reason]] = field(default_factory=Counter)
    heard: dict[tuple[str, Severity], tuple[str, ...]] = field(default_factory=dict)
    recent: dict[int, str] = field(default_factory=dict)
    """The worst severity of each incident's alerts that fire or ended within the quiet time."""
    queued: bool = False

    def __post_init__(self) -> None:
        self.lines = GatheredLines(self.connection, self.now)

    def take_all(self, delivery: Delivery, watchdog: str | None) -> None:
        """Take the alerts of a delivery, unless it is one that changed nothing and would change nothing again."""
        asked = delivery.digest, watchdog
        if again := self.alert_cache.settled(asked):
            self.reasons.update(again)
            return
        made = Counter(self.hear(alert) if alert.name == watchdog else self.take(alert) for alert in delivery.alerts)
        self.reasons.update(made)
        if delivery.truncated > 0:
            self.miss(delivery)
        elif all(effect is Effect.IGNORE for effect, _ in made):
            self.alert_cache.settle(asked, made)

    def take(self, alert: Alert) -> Decision:
        """Decide about one alert and apply the decision."""
        known, incident_id = self.known.get(alert.fingerprint, _UNKNOWN)
        if known and known.labels and known.labels != labels_of(alert.labels):
            return self._take_apart(alert)
        repeated = decide_repeated(alert, known, self.now) if known else None
        if known and repeated and repeated.effect in (Effect.IGNORE, Effect.DEFER):
            return self._pass_over(alert, known, incident_id, repeated)
        key = grouping.key_of(alert, self.settings)
        severity = self.settings.strategy.severity(alert)
        incident = self.open.get(key)
        cause = self._cause(alert, severity) if self.settings.dependencies and not incident else None
        decision = repeated or decide(
            alert,
            known,
            severity,
            incident.severity if incident else None,
            now=self.now,
            cause_is_open=cause is not None,
        )
        match decision.effect:
            case Effect.OPEN:
                incident_id = self._open(alert, severity, key)
            case Effect.JOIN | Effect.WORSEN if incident is not None:
                incident_id = self._join(alert, severity, key, incident, decision)
            case Effect.ATTACH if cause is not None:
                incident_id = cause.id
                self.lines.gather(cause.id, Kind.VICTIM, f"{alert.name} of {self.settings.target(alert)[0]}")
            case Effect.RESOLVE if incident_id is not None:
                self.lines.gather(incident_id, Kind.ALERT_RESOLVED, alert.name)
                self.resolved.add(incident_id)
            case Effect.REFRESH:
                self.anomalies.add(incident_id, decision.reason, alert.name)
            case Effect.RECORD if incident is not None:
                self.anomalies.add(incident.id, decision.reason, alert.name)
            case _:
                pass
        if alert.firing and self.settings.strategy.known_severity(alert) is None:
            self._guess(alert, incident_id)
        self._keep(self._as_known(alert, known, incident_id, decision), severity, incident_id)
        return decision

    def _take_apart(self, alert: Alert) -> Decision:
        """Take an alert whose fingerprint another one has, with other labels, as an alert of its own.

        Alertmanager's fingerprints are those of the labels; what others send may be a number of theirs.
        """
        own = msgspec.structs.replace(alert, fingerprint=within(source(alert.labels), alert.fingerprint))
        if own.fingerprint not in self.known:
            self.known.update(incident_alerts.episodes(self.connection, [own.fingerprint]))
        keys = grouping.keys_of([own], self.settings)
        self.open.update(store.open_by_key(self.connection, [key for key in keys if key not in self.open]))
        decision = self.take(own)
        self.reasons[Decision(Effect.RECORD, Reason.FINGERPRINT_SHARED)] += 1
        _, incident_id = self.known.get(own.fingerprint, _UNKNOWN)
        self.anomalies.add(incident_id, Reason.FINGERPRINT_SHARED, own.name)
        return decision

    def _guess(self, alert: Alert, incident_id: int | None) -> None:
        """Say on the timeline, and count, that an alert's severity is not known."""
        label = alert.labels.get(AlertLabel.SEVERITY)
        what = f"severity {label[:_NAMED_LIMIT]!r}" if label else "no severity"
        self.reasons[Decision(Effect.RECORD, Reason.SEVERITY_UNKNOWN)] += 1
        self.anomalies.add(incident_id, Reason.SEVERITY_UNKNOWN, f"{alert.name} has {what}")

    def _pass_over(self, alert: Alert, known: Episode, incident_id: int | None, decision: Decision) -> Decision:
        """Change nothing; what may be true all the same is looked at again."""
        self.anomalies.add(incident_id, decision.reason, alert.name)
        if decision.effect is Effect.DEFER:
            self.queued = True
            recheck.queue(self.connection, alert, known, incident_id, self.now)
        return decision

    def _as_known(self, alert: Alert, known: Episode | None, incident_id: int | None, decision: Decision) -> Alert:
        """The alert as it is stored: as the episode that is known, or as one that overtakes it."""
        if decision.reason is Reason.FIRES_ON:
            self.anomalies.add(incident_id, decision.reason, alert.name)
        if known is None or known.starts_at == alert.starts_at:
            return alert
        if alert.starts_at < known.starts_at:
            # It is the episode that is known, whichever start Alertmanager gives it now.
            return msgspec.structs.replace(alert, starts_at=known.starts_at)
        self.overtaken.add(alert.fingerprint)
        if known.firing and alert.firing:
            self.anomalies.add(incident_id, Reason.RESOLVE_MISSED, alert.name)
        return alert

    def _keep(self, alert: Alert, severity: Severity, incident_id: int | None) -> None:
        self.alert_cache.changes += 1
        self.known[alert.fingerprint] = (
            Episode(alert.starts_at, alert.firing, alert.annotations, self.now, labels_of(alert.labels)),
            incident_id,
        )
        self.changed[alert.fingerprint, alert.starts_at] = (alert, severity, incident_id)
        if len(self.changed) >= _HELD:
            self._save_alerts()

    def hear(self, alert: Alert) -> Decision:
        """Note a watchdog, which belongs to no incident."""
        if watchdog := self.settings.upstream.watchdog:
            liveness.hear(self.connection, alert, self.now, watchdog.within)
        return _HEARD

    def miss(self, delivery: Delivery) -> None:
        """Note the alerts that Alertmanager left out of a webhook, on the incidents of those that it sent."""
        self.reasons[_TRUNCATED] += delivery.truncated if delivery.is_last else 0
        count = "1 alert" if delivery.truncated == 1 else f"{delivery.truncated} alerts"
        for alert in delivery.alerts:
            _, incident_id = self.known.get(alert.fingerprint, _UNKNOWN)
            self.anomalies.add(incident_id, Reason.TRUNCATED, count)

    def _cause(self, alert: Alert, severity: Severity) -> Incident | None:
        """The open incident of the nearest service that the alert's service depends on, which swallows the alert.

        It swallows nothing that is worse than itself, and nothing while nobody was told of it.
        """
        near = (self.open[key] for key in grouping.cause_keys(alert, self.settings) if key in self.open)
        return next(
            (
                cause
                for cause in near
                if not worse(severity, cause.severity) and not cause.quiet_since and heard(self.connection, cause)
            ),
            None,
        )

    def settle(self) -> None:
        """Write what was gathered, and begin the quiet time of incidents whose last alert has resolved."""
        self.lines.flush()
        self.anomalies.write(self.connection, self.now)
        for incident in self.joined.values():
            store.save(self.connection, incident)
        self._save_alerts()
        for incident_id in self.resolved:
            incident = store.get(self.connection, incident_id)
            if incident.resolved_at or incident.quiet_since:
                continue
            if worst := incident_alerts.leading(self.connection, incident_id):
                self._rename(incident, worst)
            else:
                self.queued = True
                watch_quiet(self.connection, incident, self.now, self.settings.quiet_time)

    def _rename(self, incident: Incident, worst: Alert) -> None:
        """Call the incident after the worst alert that fires now."""
        title, kind = _title(worst), incident_type(worst)
        if (incident.title, incident.type) != (title, kind):
            store.save(self.connection, replace(incident, title=title, type=kind))

    def _save_alerts(self) -> None:
        incident_alerts.save(self.connection, list(self.changed.values()), self.now, overtaken=self.overtaken)
        self.changed.clear()
        self.overtaken.clear()

    def _open(self, alert: Alert, severity: Severity, key: str) -> int:
        service, environment = self.settings.target(alert)
        incident = store.add(
            self.connection,
            Incident(
                id=0,
                service=service,
                environment=environment,
                severity=severity,
                type=incident_type(alert),
                title=_title(alert),
                channels=self._channels(alert, severity),
                opened_at=self.now,
                correlation=correlation(alert, self.settings.further_labels),
            ),
        )
        durations.opened(self.connection, incident)
        emit(self.connection, self.settings, facts.incident_opened(incident), self.now)
        self.recent[incident.id] = severity
        known = [severity, incident.type, *(f"{name}={value}" for name, value in incident.correlation.items())]
        self.lines.write(incident.id, Kind.OPENED, f"opened by {alert.name}: {', '.join(known)}")
        if unknown := strategy.unknown_channels(alert, self.settings.channels):
            names = ", ".join(repr(name[:_NAME_SHOWN]) for name in unknown[:_NAMED])
            more = f" and {len(unknown) - _NAMED} others" if len(unknown) > _NAMED else ""
            self.lines.write(
                incident.id, Kind.NOT_TOLD, f"{alert.name} names channels that this receiver lacks: {names}{more}"
            )
        self._act(incident, alert, key, Event.OPENED, self.settings.strategy.immediate(severity, alert))
        return incident.id

    def _join(self, alert: Alert, severity: Severity, key: str, incident: Incident, decision: Decision) -> int:
        self.lines.gather(incident.id, Kind.JOINED, f"{alert.name} ({severity})")
        if incident.quiet_since:
            self.lines.write(
                incident.id, Kind.REOPENED, f"{alert.name} fires within the quiet time; the incident goes on"
            )
        reopened = bool(incident.quiet_since)
        if reopened and self.settings.rollback.targets:
            reconsider.look_now(self.connection, incident.service, incident.environment, self.now)
        new = tuple(name for name in self._channels(alert, severity) if name not in incident.channels)
        if new or incident.quiet_since:
            incident = replace(incident, quiet_since=None, channels=(*incident.channels, *new))
            self.open[key] = self.joined[key] = incident
        if decision.effect is Effect.WORSEN:
            self.recent[incident.id] = severity
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
            summary = alert.annotations.get(AlertAnnotation.SUMMARY, "")
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
            title=_title(alert),
            type=incident_type(alert),
            acknowledged_at=None,
            acknowledged_by=None,
        )
        self.open[key] = self.joined[key] = incident
        emit(self.connection, self.settings, facts.incident_worsened(incident, self.now, before), self.now)
        wanted = self.settings.strategy.immediate(severity, alert)
        self._act(incident, alert, key, Event.WORSENED, [action for action in wanted if action not in under_way])

    def _is_bad_again(self, incident: Incident, severity: Severity) -> bool:
        """Whether only lesser alerts have fired for the quiet time: what was as bad was over, though they lingered.

        What cannot wait is then a trouble of its own, whoever took the one before in hand.
        """
        if not cannot_wait(severity):
            return False
        if incident.id not in self.recent:
            since = self.now - self.settings.quiet_time
            self.recent[incident.id] = incident_alerts.worst_since(self.connection, incident.id, since) or severity
        before = self.recent[incident.id]
        if not worse(severity, before):
            return False
        self.recent[incident.id] = severity
        return True

    def _worsen_again(self, alert: Alert, severity: Severity, key: str, incident: Incident) -> None:
        text = (
            f"{alert.name} is {severity}, and nothing as bad has fired for {format_duration(self.settings.quiet_time)}"
        )
        if incident.acknowledged_at:
            text += f"; {incident.acknowledged_by} acknowledged what was before, so nobody has this yet"
        self.lines.write(incident.id, Kind.WORSENED, text)
        incident = replace(
            incident, title=_title(alert), type=incident_type(alert), acknowledged_at=None, acknowledged_by=None
        )
        self.open[key] = self.joined[key] = incident
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
        self.lines.flush()
        if key in self.joined:
            store.save(self.connection, self.joined.pop(key))
        queue_all(Case(self.connection, self.settings, incident, alert, event, self.now, again), wanted)
        if timed:
            self._escalate_later(incident, alert, after, again)
        self.open[key] = store.get(self.connection, incident.id)

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


def _title(alert: Alert) -> str:
    return (incident_alerts.view(alert, "").summary or alert.name)[:_TITLE_LIMIT]


def _is_new(alert: Alert, known: Known) -> bool:
    episode, _ = known.get(alert.fingerprint, _UNKNOWN)
    return episode is None or alert.starts_at > episode.starts_at or (alert.firing and not episode.firing)


def _row(delivery: Delivery, alert_cache: AlertCache) -> dict[str, object]:
    return {
        "received_at": delivery.received_at,
        "alerts": delivery.whole or len(delivery.alerts),
        "digest": delivery.digest,
        "body": alert_cache.body(delivery),
    }


def ingest(
    connection: Connection,
    settings: ReceiverConfig,
    batch: Sequence[Delivery],
    now: datetime,
    alert_cache: AlertCache | None = None,
) -> Taken:
    """Store the deliveries and all that follows from them.

    `alert_cache` saves looking up what is remembered; the caller makes it forget when the transaction fails.
    """
    alert_cache = alert_cache or AlertCache()
    alert_cache.catch_up(connection)
    insert_all(connection, deliveries, [_row(delivery, alert_cache) for delivery in batch if delivery.part == 0])
    # Every build of rules has a watchdog: who does not listen for it wants no incident of it either.
    watchdog = (settings.upstream.watchdog or Watchdog()).alert
    new = [delivery for delivery in batch if not alert_cache.settled((delivery.digest, watchdog))]
    alerts = [alert for delivery in new for alert in delivery.alerts]
    known, changes = alert_cache.episodes, alert_cache.changes
    if unknown := {alert.fingerprint for alert in alerts if alert.fingerprint not in known}:
        known.update(incident_alerts.episodes(connection, unknown))
    state = Ingest(
        connection,
        settings,
        now,
        alert_cache,
        known=known,
        # Only a new episode asks whether an incident is open.
        open=store.open_by_key(connection, grouping.keys_of((a for a in alerts if _is_new(a, known)), settings)),
        anomalies=Anomalies(alert_cache.said),
    )
    for delivery in batch:
        state.take_all(delivery, watchdog)
    state.settle()
    if alert_cache.changes != changes:
        alert_cache.tell(connection)
    for delivery in batch:
        delivery.also(connection)
    return Taken(state.reasons, state.queued)
