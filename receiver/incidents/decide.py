"""What an alert does to the incidents: pure rules, each decision with its named reason."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from deploywatch.conventions import SEVERITIES
from deploywatch.receiver.alert import Alert


# `gc=False`: fifty thousand of them are remembered, hold no circles, and need not be walked by each collection.
class Episode(msgspec.Struct, frozen=True, gc=False):
    """What is stored of the newest episode of a fingerprint; `changed_at` is when it was last changed by a delivery.

    `labels` stands for the alert's labels, as `labels_of` gives it; 0 where that is not known. `lowered_to` is the
    start that Alertmanager has lowered it to.
    """

    starts_at: datetime
    firing: bool
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    changed_at: datetime | None = None
    labels: int = 0
    lowered_to: datetime | None = None

    @property
    def since(self) -> datetime:
        """The earliest start that it was given."""
        return self.lowered_to or self.starts_at


def labels_of(labels: Mapping[str, str]) -> int:
    """A number that stands for an alert's labels in this process."""
    # Only compared within this process, so that Python's seed for hashes does not matter; 0 is kept for "not known".
    return hash(frozenset(labels.items())) or 1


class Effect(StrEnum):
    """What an alert leads to."""

    OPEN = "open"
    JOIN = "join"
    WORSEN = "worsen"
    RESOLVE = "resolve"
    REFRESH = "refresh"
    RECORD = "record"
    ATTACH = "attach"
    DEFER = "defer"
    IGNORE = "ignore"


class Reason(StrEnum):
    """Why; shown in the timeline and counted in metrics."""

    FIRST_ALERT = "first_alert"
    INCIDENT_IS_OPEN = "incident_is_open"
    RESOLVE_MISSED = "resolve_missed"
    MORE_SEVERE = "more_severe"
    ALERT_RESOLVED = "alert_resolved"
    RESOLVED_BEFORE_FIRING = "resolved_before_firing"
    ANNOTATIONS_CHANGED = "annotations_changed"
    START_LOWERED = "start_lowered"
    DUPLICATE = "duplicate"
    OLDER_EPISODE = "older_episode"
    EPISODE_IS_OVER = "episode_is_over"
    FIRES_ON = "fires_on"
    VICTIM_OF_DEPENDENCY = "victim_of_dependency"
    WATCHDOG_HEARD = "watchdog_heard"
    TRUNCATED = "truncated"
    SEVERITY_UNKNOWN = "severity_unknown"
    FINGERPRINT_SHARED = "fingerprint_shared"


class Decision(NamedTuple):
    """What to do about one alert, and why."""

    effect: Effect
    reason: Reason


# A peer of Alertmanager's cluster waits 15 s (`--cluster.peer-timeout`) a position, and a webhook's own timeout comes
# on top.
LATE: Final = timedelta(minutes=1)
"""For how long after a resolve a firing of the same episode may be one that came late: another Alertmanager of a pair
waits for its peer, and a webhook that was given up may still be under way."""

_DUPLICATE = Decision(Effect.IGNORE, Reason.DUPLICATE)
_OLDER = Decision(Effect.IGNORE, Reason.OLDER_EPISODE)


def decide(
    alert: Alert,
    known: Episode | None,
    severity: str,
    open_severity: str | None,
    *,
    now: datetime,
    cause_is_open: bool = False,
) -> Decision:
    """Judge one alert against the newest known episode and the severity of the open incident (None: none is open).

    `cause_is_open` says that a service on which the alert's depends has an open incident: the alert belongs there.
    Within `LATE`, any order and repetition of the same deliveries ends the same.
    """
    # First, because it needs neither severity nor incident: what Alertmanager repeats is nearly all that comes.
    if known is not None and (repeated := decide_repeated(alert, known, now)):
        return repeated
    if not alert.firing:
        if known is not None and known.firing:
            return Decision(Effect.RESOLVE, Reason.ALERT_RESOLVED)
        return Decision(Effect.RECORD, Reason.RESOLVED_BEFORE_FIRING)
    fires_on = known is not None and not known.firing and alert.starts_at <= known.starts_at
    # Only where the service has no incident of its own: an alert never moves from one incident to another.
    if open_severity is None and cause_is_open:
        return Decision(Effect.ATTACH, Reason.VICTIM_OF_DEPENDENCY)
    if open_severity is None:
        return Decision(Effect.OPEN, Reason.FIRES_ON if fires_on else Reason.FIRST_ALERT)
    # Before `fires_on`: that it is worse is what people must hear, whatever else is strange about it.
    if worse(severity, open_severity):
        return Decision(Effect.WORSEN, Reason.MORE_SEVERE)
    if fires_on:
        return Decision(Effect.JOIN, Reason.FIRES_ON)
    if known is not None and known.firing:
        # A later start under a known fingerprint is a new episode, so the end of the one before was lost on its way. It
        # is no reason to open a second incident.
        return Decision(Effect.JOIN, Reason.RESOLVE_MISSED)
    return Decision(Effect.JOIN, Reason.INCIDENT_IS_OPEN)


def decide_repeated(alert: Alert, known: Episode, now: datetime) -> Decision | None:
    """Judge an alert of the newest known episode or an older one; None when it has to be judged as a new one.

    That takes neither a severity nor an incident, and between two storms nearly every alert is such a one.
    """
    if alert.starts_at > known.starts_at:
        return None
    if alert.firing:
        return _still_firing(alert, known, now) if known.firing else _fires_after_its_end(known, now)
    if not known.firing:
        return _DUPLICATE if alert.starts_at == known.starts_at else _OLDER
    # Alertmanager merges the alerts of several Prometheus, and lowers the start to the earliest: an end belongs to
    # what fires unless it came before that began.
    if alert.starts_at < known.starts_at and (alert.ends_at is None or alert.ends_at <= known.starts_at):
        return _OLDER
    return Decision(Effect.RESOLVE, Reason.ALERT_RESOLVED)


def _still_firing(alert: Alert, known: Episode, now: datetime) -> Decision:
    """Judge a repetition; one with an earlier start is a late delivery for a while, and then this episode, lowered."""
    # Alertmanager lowers a start when another Prometheus of a pair fired earlier; a delivery that was under way for
    # long looks the same at first, and does not a minute later.
    if alert.starts_at < known.since and not _late_ones_are_over(known, now):
        return _OLDER
    if alert.starts_at < known.since:
        return Decision(Effect.REFRESH, Reason.START_LOWERED)
    if alert.annotations != known.annotations:
        return Decision(Effect.REFRESH, Reason.ANNOTATIONS_CHANGED)
    return _DUPLICATE


def _fires_after_its_end(known: Episode, now: datetime) -> Decision | None:
    """A resolve is provisional: an alert that timed out in Alertmanager fires on with the start that it had.

    So shortly after the resolve the delivery may be a late one, and is asked about again; later it is what is true.
    """
    return None if _late_ones_are_over(known, now) else Decision(Effect.DEFER, Reason.EPISODE_IS_OVER)


def _late_ones_are_over(known: Episode, now: datetime) -> bool:
    return known.changed_at is not None and now >= known.changed_at + LATE


def worse(severity: str, other: str) -> bool:
    """Whether the first severity is worse than the second."""
    return SEVERITIES.index(severity) < SEVERITIES.index(other)
