"""What an alert does to the incidents: pure rules, each decision with its named reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from deploywatch.conventions import SEVERITIES
from deploywatch.receiver.alert import Alert


@dataclass(frozen=True, slots=True)
class Episode:
    """What is stored of the newest episode of a fingerprint."""

    starts_at: datetime
    firing: bool
    annotations: Mapping[str, str] = field(default_factory=dict)


class Effect(StrEnum):
    """What an alert leads to."""

    OPEN = "open"
    JOIN = "join"
    WORSEN = "worsen"
    RESOLVE = "resolve"
    REFRESH = "refresh"
    RECORD = "record"
    ATTACH = "attach"
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
    DUPLICATE = "duplicate"
    OLDER_EPISODE = "older_episode"
    EPISODE_IS_OVER = "episode_is_over"
    VICTIM_OF_DEPENDENCY = "victim_of_dependency"
    WATCHDOG_HEARD = "watchdog_heard"
    TRUNCATED = "truncated"


class Decision(NamedTuple):
    """What to do about one alert, and why."""

    effect: Effect
    reason: Reason


_DUPLICATE = Decision(Effect.IGNORE, Reason.DUPLICATE)


def decide(
    alert: Alert, known: Episode | None, severity: str, open_severity: str | None, *, cause_is_open: bool = False
) -> Decision:
    """Judge one alert against the newest known episode and the severity of the open incident (None: none is open).

    `cause_is_open` says that a service on which the alert's depends has an open incident: the alert belongs there.
    Episodes only move forward: an older one never overrides a newer, and within one "resolved" is final, so that
    any order and repetition of the same deliveries ends the same.
    """
    if known is not None and (repeated := decide_repeated(alert, known)):
        return repeated
    if not alert.firing:
        if known is not None and known.firing:
            return Decision(Effect.RESOLVE, Reason.ALERT_RESOLVED)
        return Decision(Effect.RECORD, Reason.RESOLVED_BEFORE_FIRING)
    if open_severity is None and cause_is_open:
        return Decision(Effect.ATTACH, Reason.VICTIM_OF_DEPENDENCY)
    if open_severity is None:
        return Decision(Effect.OPEN, Reason.FIRST_ALERT)
    if worse(severity, open_severity):
        return Decision(Effect.WORSEN, Reason.MORE_SEVERE)
    if known is not None and known.firing:
        return Decision(Effect.JOIN, Reason.RESOLVE_MISSED)
    return Decision(Effect.JOIN, Reason.INCIDENT_IS_OPEN)


def decide_repeated(alert: Alert, known: Episode) -> Decision | None:
    """Judge an alert of the newest known episode or an older one; None when it begins a newer one.

    That takes neither a severity nor an incident, and between two storms nearly every alert is such a one.
    """
    if alert.starts_at > known.starts_at:
        return None
    if alert.starts_at < known.starts_at:
        return Decision(Effect.IGNORE, Reason.OLDER_EPISODE)
    if known.firing and not alert.firing:
        return Decision(Effect.RESOLVE, Reason.ALERT_RESOLVED)
    if alert.firing and not known.firing:
        return Decision(Effect.IGNORE, Reason.EPISODE_IS_OVER)
    if alert.firing and alert.annotations != known.annotations:
        return Decision(Effect.REFRESH, Reason.ANNOTATIONS_CHANGED)
    return _DUPLICATE


def worse(severity: str, other: str) -> bool:
    """Whether the first severity is worse than the second."""
    return SEVERITIES.index(severity) < SEVERITIES.index(other)
