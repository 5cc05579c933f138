"""Takes a batch of deliveries into the books, in one transaction: alerts, incidents, timeline and jobs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from deploywatch.conventions import AlertLabel
from deploywatch.receiver.alert import Alert, source, within
from deploywatch.receiver.incidents import grouping, recheck, store
from deploywatch.receiver.incidents.alerts import alert_store, liveness
from deploywatch.receiver.incidents.alerts.anomalies import Anomalies
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
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.intake.open_incidents import OpenIncidents, joined_text, title_of
from deploywatch.receiver.lifecycle.resolution import watch_quiet
from deploywatch.receiver.notify.queueing import is_told
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.strategy import UNKNOWN, Severity, incident_type
from deploywatch.receiver.settings.upstream import Watchdog
from deploywatch.receiver.store import insert_all
from deploywatch.receiver.store.schema import deliveries

_NAMED_LIMIT = 60
_HELD = 5_000  # alerts to be written that are held in memory
_UNKNOWN = (None, None)
_HEARD = Decision(Effect.RECORD, Reason.WATCHDOG_HEARD)
_JOINS = Decision(Effect.JOIN, Reason.INCIDENT_IS_OPEN)
_TRUNCATED = Decision(Effect.RECORD, Reason.TRUNCATED)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one transaction did: how often each decision was made, and whether that may have queued jobs."""

    reasons: Counter[tuple[Effect, Reason]]
    queued: bool


@dataclass(slots=True)
class Joined:
    """What a new alert has joined, for those that are like it."""

    key: str
    incident: Incident
    text: str
    severity: Severity
    is_guess: bool


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
    incidents: OpenIncidents
    anomalies: Anomalies
    changed: dict[tuple[str, datetime], tuple[Alert, str, int | None]] = field(default_factory=dict)
    overtaken: set[str] = field(default_factory=set)
    resolved: set[int] = field(default_factory=set)
    retitled: set[int] = field(default_factory=set)
    reasons: Counter[tuple[Effect, Reason]] = field(default_factory=Counter)
    likeness: Mapping[int, grouping.Likeness] = field(default_factory=dict)
    """Of the new alerts, by their identities: another may have the same fingerprint."""
    joined: dict[grouping.Likeness, Joined] = field(default_factory=dict)

    def take_all(self, delivery: Delivery, watchdog: str | None) -> None:
        """Take the alerts of a delivery, unless it is one that changed nothing and would change nothing again."""
        asked = delivery.asked, watchdog
        if again := self.alert_cache.settled(asked):
            self.reasons.update(again)
            return
        made = Counter(self.hear(alert) if alert.name == watchdog else self.take(alert) for alert in delivery.alerts)
        self.reasons.update(made)
        if delivery.truncated > 0:
            self.miss(delivery)
        # Only what changed nothing: anything else must be looked at again, also when the very same body comes.
        elif all(effect is Effect.IGNORE for effect, _ in made):
            self.alert_cache.settle(asked, made)

    def take(self, alert: Alert) -> Decision:
        """Decide about one alert and apply the decision."""
        known, incident_id = self.known.get(alert.fingerprint, _UNKNOWN)
        if known is None and alert.firing and (decision := self._join_like_another(alert)):
            return decision
        # Two alerts with one fingerprint would overwrite each other, and one of them would be lost without a word.
        if known and known.labels and known.labels != labels_of(alert.labels):
            return self._take_apart(alert)
        repeated = decide_repeated(alert, known, self.now) if known else None
        if known and repeated and repeated.effect in (Effect.IGNORE, Effect.DEFER):
            return self._pass_over(alert, known, incident_id, repeated)
        return self._look_at(alert, known, incident_id, repeated)

    def _look_at(
        self, alert: Alert, known: Episode | None, incident_id: int | None, repeated: Decision | None
    ) -> Decision:
        key = grouping.key_of(alert, self.settings)
        named = self.settings.strategy.known_severity(alert)
        severity = named or UNKNOWN
        incident = self.incidents.by_key.get(key)
        cause = self._cause(alert, severity) if self.settings.dependencies and not incident else None
        decision = repeated or decide(
            alert,
            known,
            severity,
            incident.severity if incident else None,
            now=self.now,
            cause_is_open=cause is not None,
        )
        # By what is decided, not by what is there: decide() alone knows why.
        if decision.effect is Effect.OPEN:
            incident_id = self.incidents.begin(alert, severity, key)
        elif decision.effect in (Effect.JOIN, Effect.WORSEN) and incident:
            incident_id = self.incidents.join(alert, severity, key, incident, decision)
            self._note_other_title(alert, known, incident_id)
        elif decision.effect is Effect.ATTACH and cause:
            incident_id = cause.id
            self.incidents.lines.gather(cause.id, Kind.VICTIM, f"{alert.name} of {self.settings.target(alert)[0]}")
        else:
            self._note(decision, alert, known, incident_id, incident)
        if alert.firing and named is None:
            self._guess(alert, incident_id)
        self._keep(self._as_known(alert, known, incident_id, decision), severity, incident_id)
        if known is None and decision == _JOINS and (likeness := self.likeness.get(id(alert))):
            joined, text = self.incidents.by_key[key], joined_text(alert, severity)
            self.joined[likeness] = Joined(key, joined, text, severity, is_guess=named is None)
        return decision

    def _note(
        self,
        decision: Decision,
        alert: Alert,
        known: Episode | None,
        incident_id: int | None,
        incident: Incident | None,
    ) -> None:
        """Note what brings no alert to an incident, but belongs to one."""
        match decision.effect:
            case Effect.RESOLVE if incident_id is not None:
                self.incidents.lines.gather(incident_id, Kind.ALERT_RESOLVED, alert.name)
                self.resolved.add(incident_id)
            case Effect.REFRESH:
                self.anomalies.add(incident_id, decision.reason, alert.name)
                self._note_other_title(alert, known, incident_id)
                # Of equally bad ones an incident is called after the one that has fired for longest.
                if decision.reason is Reason.START_LOWERED and incident_id is not None:
                    self.retitled.add(incident_id)
            case Effect.RECORD if incident is not None:
                self.anomalies.add(incident.id, decision.reason, alert.name)
            case _:
                pass

    def _join_like_another(self, alert: Alert) -> Decision | None:
        """Take a new alert into the incident that one like it has joined; None when it has to be looked at for itself.

        All that such a one asks for is queued already, as long as the incident is what it was then.
        """
        likeness = self.likeness.get(id(alert))
        other = self.joined.get(likeness) if likeness else None
        if other is None or self.incidents.by_key.get(other.key) is not other.incident:
            return None
        incident_id = other.incident.id
        self.incidents.lines.gather(incident_id, Kind.JOINED, other.text)
        if other.is_guess:
            self._guess(alert, incident_id)
        self._keep(alert, other.severity, incident_id)
        return _JOINS

    def _note_other_title(self, alert: Alert, known: Episode | None, incident_id: int | None) -> None:
        """Note that an incident may be called otherwise now, as its alert says something else than it did."""
        if known is None or incident_id is None:
            return
        if title_of(alert) != title_of(msgspec.structs.replace(alert, annotations=known.annotations)):
            self.retitled.add(incident_id)

    def _take_apart(self, alert: Alert) -> Decision:
        """Take an alert whose fingerprint another one has, with other labels, as an alert of its own.

        Alertmanager's fingerprints are those of the labels; what others send may be a number of theirs.
        """
        own = msgspec.structs.replace(alert, fingerprint=within(source(alert.labels), alert.fingerprint))
        if own.fingerprint not in self.known:
            self.known.update(alert_store.episodes(self.connection, [own.fingerprint]))
        keys = grouping.keys_of([own], self.settings)
        self.incidents.by_key.update(
            store.open_by_key(self.connection, [key for key in keys if key not in self.incidents.by_key])
        )
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
            self.incidents.queued = True
            recheck.queue(self.connection, alert, known, incident_id, self.now)
        return decision

    def _as_known(self, alert: Alert, known: Episode | None, incident_id: int | None, decision: Decision) -> Alert:
        """The alert as it is stored: as the episode that is known, or as one that overtakes it."""
        if decision.reason is Reason.FIRES_ON:
            self.anomalies.add(incident_id, decision.reason, alert.name)
        if known is None:
            return alert
        if known.starts_at == alert.starts_at:
            return msgspec.structs.replace(alert, lowered_to=known.lowered_to) if known.lowered_to else alert
        if alert.starts_at < known.starts_at:
            # It is the episode that is known, whichever start Alertmanager gives it now. The start that names it stays,
            # since the other Alertmanager of a pair may go on with the later one.
            lowered_to = min(alert.starts_at, known.since)
            return msgspec.structs.replace(alert, starts_at=known.starts_at, lowered_to=lowered_to)
        # The old episode's row stays as history, and is no longer the current one.
        self.overtaken.add(alert.fingerprint)
        if known.firing and alert.firing:
            self.anomalies.add(incident_id, Reason.RESOLVE_MISSED, alert.name)
        return alert

    def _keep(self, alert: Alert, severity: Severity, incident_id: int | None) -> None:
        self.alert_cache.changes += 1
        labels = labels_of(alert.labels)
        episode = Episode(alert.starts_at, alert.firing, alert.annotations, self.now, labels, alert.lowered_to)
        self.known[alert.fingerprint] = episode, incident_id
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
        near = (
            self.incidents.by_key[key]
            for key in grouping.cause_keys(alert, self.settings)
            if key in self.incidents.by_key
        )
        return next(
            (
                cause
                for cause in near
                # A cause that is quiet, or that nobody was told of, would swallow an alert that then nobody hears of.
                if not worse(severity, cause.severity) and not cause.quiet_since and is_told(self.connection, cause)
            ),
            None,
        )

    def settle(self) -> None:
        """Write what was gathered, and begin the quiet time of incidents whose last alert has resolved."""
        self.incidents.lines.flush()
        self.anomalies.write(self.connection, self.now)
        for incident in self.incidents.joined.values():
            store.save(self.connection, incident)
        self._save_alerts()
        for incident_id in self.resolved | self.retitled | self.incidents.reopened:
            incident = store.get(self.connection, incident_id)
            if incident.resolved_at or incident.quiet_since:
                continue
            if worst := alert_store.leading(self.connection, incident_id):
                self._rename(incident, worst)
            elif incident_id in self.resolved:
                self.incidents.queued = True
                # Its end is told to those who heard of the worst, which need not be what resolved last.
                named = self._rename(incident, alert_store.worst(self.connection, incident_id))
                watch_quiet(self.connection, named, self.now, self.settings.quiet_time)

    def _rename(self, incident: Incident, worst: Alert | None) -> Incident:
        """Call the incident after its worst alert."""
        if worst is None or (incident.title, incident.type) == (title_of(worst), incident_type(worst)):
            return incident
        named = replace(incident, title=title_of(worst), type=incident_type(worst))
        store.save(self.connection, named)
        return named

    def _save_alerts(self) -> None:
        alert_store.save(self.connection, list(self.changed.values()), self.now, overtaken=self.overtaken)
        self.changed.clear()
        self.overtaken.clear()


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
    # Within the transaction, behind the lock that all replicas share: what is remembered from here on is true until its
    # end.
    alert_cache.catch_up(connection)
    insert_all(connection, deliveries, [_row(delivery, alert_cache) for delivery in batch if delivery.first == 0])
    # Every build of rules has a watchdog: who does not listen for it wants no incident of it either.
    watchdog = (settings.upstream.watchdog or Watchdog()).alert
    new = [delivery for delivery in batch if not alert_cache.settled((delivery.asked, watchdog))]
    alerts = [alert for delivery in new for alert in delivery.alerts]
    known, changes = alert_cache.episodes, alert_cache.changes
    if unknown := {alert.fingerprint for alert in alerts if alert.fingerprint not in known}:
        known.update(alert_store.episodes(connection, unknown))
    # Only a new episode asks whether an incident is open.
    fresh = [(grouping.likeness(alert, settings), alert) for alert in alerts if _is_new(alert, known)]
    state = Ingest(
        connection,
        settings,
        now,
        alert_cache,
        known=known,
        incidents=OpenIncidents(
            connection,
            settings,
            now,
            store.open_by_key(connection, grouping.keys_of(dict(fresh).values(), settings)),
        ),
        anomalies=Anomalies(alert_cache.said),
        likeness={id(alert): likeness for likeness, alert in fresh},
    )
    for delivery in batch:
        state.take_all(delivery, watchdog)
    state.settle()
    if alert_cache.changes != changes:
        alert_cache.tell(connection)
    for delivery in batch:
        delivery.also(connection)
    return Taken(state.reasons, state.incidents.queued)
