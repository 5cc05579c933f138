"""What changes of an alert, in words: its condition, its wait, whom it tells, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from deploywatch.quantity import parse_duration
from deploywatch.rules.conditions.view import said_of
from deploywatch.rules.language.expression import Comparison, Condition, comparisons
from deploywatch.rules.language.parts import Part
from deploywatch.rules.policy import Alert

_DONE = {
    "rollback": "rolls back",
    "notify": "tells the team",
    "escalate": "escalates at once",
    "investigate": "collects what is known",
    "log": "keeps it in the timeline",
    "scale": "scales the service",
    "ticket": "files a ticket",
    "status_page": "updates the status page",
    "run": "runs a command",
}
_SOONER, _LATER = "sooner", "later"


def come(alert: Alert) -> str:
    channels = f", tells {listed(alert.channels)}" if alert.channels else ""
    wait = f" for {as_text(alert, 'for_')}" if alert.for_ else ""
    done = _DONE[alert.action]
    return f"{alert.alert} is new: {alert.severity}, {verb(alert)} when {alert.when}{wait}; {done}{channels}"


def gone(alert: Alert) -> str:
    return f"{alert.alert} is gone: nothing {verb(alert)} any more when {alert.when}"


def verb(alert: Alert) -> str:
    # As the receiver and the routes take it: these two wake somebody.
    if alert.severity in {"critical", "high"}:
        return "pages"
    return {"log": "logs", "ticket": "files a ticket"}.get(alert.action, "warns")


def _when(old: Alert, new: Alert) -> str:
    was, now = old.condition, new.condition
    # Not strict: whether they have the same shape is asked in the next line.
    pairs = list(zip(comparisons(was), comparisons(now), strict=False))
    if _shape(was) != _shape(now):
        return f"{verb(new)} when {new.when} instead of when {old.when}"
    moved = [(before, other) for before, other in pairs if before.quantity != other.quantity]
    if not moved:
        return f"writes its condition {new.when!r} instead of {old.when!r}, which is the same"
    if isinstance(now, Comparison):
        return f"{verb(new)} at {now.written} instead of {pairs[0][0].written} ({now.signal}, {_tendency(*pairs[0])})"
    parts = (
        f"{other} instead of {before.operator} {before.written} ({_tendency(before, other)})" for before, other in moved
    )
    return f"{verb(new)} at {'; '.join(parts)}"


def _shape(condition: Condition) -> str:
    """The condition without its limits."""
    if isinstance(condition, Comparison):
        return f"{condition.signal} {condition.operator}"
    return f"{type(condition).__name__}({', '.join(_shape(part) for part in condition.parts)})"


def _tendency(was: Comparison, now: Comparison) -> str:
    more: Decimal = now.quantity.value - was.quantity.value
    if now.operator in {"==", "!="}:
        return "at another value"
    return _SOONER if (more < 0) is (now.operator in {">", ">="}) else _LATER


def _wait(old: Alert, new: Alert) -> str:
    was, now = as_text(old, "for_"), as_text(new, "for_")
    return f"waits {now} instead of {was} before it {verb(new)} ({slower(was, now)})"


def _channels(old: Alert, new: Alert) -> str:
    come = [channel for channel in new.channels if channel not in old.channels]
    gone = [channel for channel in old.channels if channel not in new.channels]
    parts = [f"tells {listed(come)} too"] if come else []
    parts += [f"no longer tells {listed(gone)}"] if gone else []
    if not new.channels:
        parts.append("leaves it to the receiver whom to tell")
    return " and ".join(parts) or f"tells {listed(new.channels)}, in this order"


def _escalation(old: Alert, new: Alert) -> str:
    was, now = (None if alert.escalate_after is None else as_text(alert, "escalate_after") for alert in (old, new))
    return f"escalates {f'after {now}' if now else 'never'} instead of {f'after {was}' if was else 'never'}"


def _within(old: Alert, new: Alert) -> str:
    return f"holds {new.within or 'at any time'} instead of {old.within or 'at any time'}"


def _about_part(old: Alert, new: Alert) -> str:
    was, now = said_of(old) or "of all series", said_of(new) or "of all series"
    return f"looks at its signals {now} instead of {was}"


OF_ALERT: Mapping[str, Callable[[Alert, Alert], str]] = {
    "when": _when,
    "for": _wait,
    "channels": _channels,
    "escalate_after": _escalation,
    "within": _within,
    "keep_firing_for": lambda old, new: (
        f"goes on for {as_text(new, 'keep_firing_for')} instead of {as_text(old, 'keep_firing_for')} once it is over"
    ),
    **dict.fromkeys(Part.model_fields, _about_part),
    "severity": lambda old, new: f"is {new.severity} instead of {old.severity}",
    "action": lambda old, new: f"{_DONE[new.action]} instead of what it did: it {_DONE[old.action]}",
    "incident_type": lambda old, new: f"opens incidents of type {new.incident_type} instead of {old.incident_type}",
    "summary": lambda old, new: f"says {new.summary!r} instead of {old.summary!r}",
}


def listed(values: Any) -> str:
    texts = [str(value) for value in values]
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else "".join(texts)


def slower(was: str, now: str) -> str:
    return _LATER if parse_duration(now) > parse_duration(was) else _SOONER


def as_text(alert: Alert, field: str) -> str:
    return str(alert.model_dump(mode="json", include={field})[field])
