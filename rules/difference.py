"""What changes for people when one policy takes the place of another, in words.

Every value in which the two differ gives a sentence: one that says what it means where that is known, else the key with
both values. What stands in a policy in another order, or is spelled out where it was the default, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from deploywatch.document import Path, path_text
from deploywatch.quantity import parse_duration
from deploywatch.rules.conditions import signal
from deploywatch.rules.conditions.view import said_of
from deploywatch.rules.language.expression import Comparison, Condition, comparisons
from deploywatch.rules.language.parts import Part
from deploywatch.rules.policy import Alert, Policy

_NAMES = {"alerts": "alert", "stages": "stage", "tighter": "within", "examples": "name", "signals": "critical"}
"""Lists whose entries are told apart by a key of theirs, and not by their position."""

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


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs: where it stands, what it was and is (None for nothing), and what that means."""

    path: Path
    was: Any
    now: Any
    said: str


def changes(old: Policy, new: Policy) -> tuple[Change, ...]:
    """Every change, those of alerts first, alert by alert."""
    differences = list(_differences(_plain(old), _plain(new), ()))
    moved = _renamed(old, new)
    told = [
        *(Change(("alerts", now, "alert"), was, now, _rename(was, now)) for was, now in moved.items()),
        *(
            Change(path, was, now, _words(old, new, path, was, now))
            for path, was, now in differences
            if not (path[0] == "alerts" and len(path) == 2 and path[1] in {*moved, *moved.values()})
        ),
    ]
    return tuple(sorted(told, key=lambda change: change.path[0] != "alerts"))


def _plain(policy: Policy) -> dict[str, Any]:
    """The policy as plain data, lists of named entries as mappings."""
    named: dict[str, Any] = _by_name(policy.model_dump(mode="json", by_alias=True), "")
    return named


def _by_name(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _by_name(item, name) for name, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        own = _NAMES.get(key)
        if own is not None and all(own in item for item in value):
            return {item[own]: _by_name(item, "") for item in value}
        return {str(number): _by_name(item, "") for number, item in enumerate(value)}
    return value


def _differences(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(key), new.get(key), (*path, key))
    elif (old or None) != (new or None):
        yield path, old, new


def _renamed(old: Policy, new: Policy) -> dict[str, str]:
    """Alerts that differ in nothing but their name."""
    gone = [alert for alert in old.alerts if alert.alert not in {other.alert for other in new.alerts}]
    come = [alert for alert in new.alerts if alert.alert not in {other.alert for other in old.alerts}]
    return {was.alert: now.alert for was in gone for now in come if was.model_copy(update={"alert": now.alert}) == now}


def _rename(was: str, now: str) -> str:
    return f"{now} is what {was} was; silences and routes that name {was} no longer hold for it"


def _words(old: Policy, new: Policy, path: Path, was: Any, now: Any) -> str:
    match path:
        case ("alerts", str(name)):
            return _come(_alert(new, name)) if was is None else _gone(_alert(old, name))
        case ("alerts", str(name), *inside):
            return f"{name}{_of_alert(_alert(old, name), _alert(new, name), tuple(inside), was, now)}"
        case ("selectors", label):
            return _selected(old, new, str(label))
        case ("window",):
            return f"rates are taken over {now} instead of {was}: alerts begin and end {_slower(was, now)}"
        case ("interval",):
            return f"rules are evaluated every {now} instead of every {was}"
        case ("objective",):
            burned = [alert.alert for alert in new.alerts if "burn_rate" in alert.when]
            return f"the objective is {now or 'none'} instead of {was or 'none'}{_concerns(burned)}"
        case ("receiver", "url"):
            return f"alerts are sent to {now or 'nobody'} instead of {was or 'nobody'}"
        case ("series" | "signals", str(key), *_):
            return f"{_generic(path, was, now)}{_concerns(_reading(old, new, str(path[0]), key))}"
    return _generic(path, was, now)


def _of_alert(old: Alert, new: Alert, path: Path, was: Any, now: Any) -> str:
    match path:
        case ("tighter", within, "limit"):
            return f" {_verb(new)} at {now} instead of {was} within {within}"
        case (str(key),) if key in _OF_ALERT:
            return f" {_OF_ALERT[key](old, new)}"
    return f": {_generic(path, was, now)}"


def _alert(policy: Policy, name: str) -> Alert:
    return next(alert for alert in policy.alerts if alert.alert == name)


def _come(alert: Alert) -> str:
    channels = f", tells {_listed(alert.channels)}" if alert.channels else ""
    wait = f" for {_text(alert, 'for_')}" if alert.for_ else ""
    done = _DONE[alert.action]
    return f"{alert.alert} is new: {alert.severity}, {_verb(alert)} when {alert.when}{wait}; {done}{channels}"


def _gone(alert: Alert) -> str:
    return f"{alert.alert} is gone: nothing {_verb(alert)} any more when {alert.when}"


def _verb(alert: Alert) -> str:
    if alert.severity in {"critical", "high"}:
        return "pages"
    return {"log": "logs", "ticket": "files a ticket"}.get(alert.action, "warns")


def _when(old: Alert, new: Alert) -> str:
    was, now = old.condition, new.condition
    pairs = list(zip(comparisons(was), comparisons(now), strict=False))
    if _shape(was) != _shape(now):
        return f"{_verb(new)} when {new.when} instead of when {old.when}"
    moved = [(before, other) for before, other in pairs if before.quantity != other.quantity]
    if not moved:
        return f"writes its condition {new.when!r} instead of {old.when!r}, which is the same"
    if isinstance(now, Comparison):
        return f"{_verb(new)} at {now.written} instead of {pairs[0][0].written} ({now.signal}, {_tendency(*pairs[0])})"
    parts = (
        f"{other} instead of {before.operator} {before.written} ({_tendency(before, other)})" for before, other in moved
    )
    return f"{_verb(new)} at {'; '.join(parts)}"


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
    was, now = _text(old, "for_"), _text(new, "for_")
    return f"waits {now} instead of {was} before it {_verb(new)} ({_slower(was, now)})"


def _channels(old: Alert, new: Alert) -> str:
    come = [channel for channel in new.channels if channel not in old.channels]
    gone = [channel for channel in old.channels if channel not in new.channels]
    parts = [f"tells {_listed(come)} too"] if come else []
    parts += [f"no longer tells {_listed(gone)}"] if gone else []
    if not new.channels:
        parts.append("leaves it to the receiver whom to tell")
    return " and ".join(parts) or f"tells {_listed(new.channels)}, in this order"


def _escalation(old: Alert, new: Alert) -> str:
    was, now = (None if alert.escalate_after is None else _text(alert, "escalate_after") for alert in (old, new))
    return f"escalates {f'after {now}' if now else 'never'} instead of {f'after {was}' if was else 'never'}"


def _within(old: Alert, new: Alert) -> str:
    return f"holds {new.within or 'at any time'} instead of {old.within or 'at any time'}"


def _about_part(old: Alert, new: Alert) -> str:
    was, now = said_of(old) or "of all series", said_of(new) or "of all series"
    return f"looks at its signals {now} instead of {was}"


_OF_ALERT: Mapping[str, Callable[[Alert, Alert], str]] = {
    "when": _when,
    "for": _wait,
    "channels": _channels,
    "escalate_after": _escalation,
    "within": _within,
    "keep_firing_for": lambda old, new: (
        f"goes on for {_text(new, 'keep_firing_for')} instead of {_text(old, 'keep_firing_for')} once it is over"
    ),
    **dict.fromkeys(Part.model_fields, _about_part),
    "severity": lambda old, new: f"is {new.severity} instead of {old.severity}",
    "action": lambda old, new: f"{_DONE[new.action]} instead of what it did: it {_DONE[old.action]}",
    "incident_type": lambda old, new: f"opens incidents of type {new.incident_type} instead of {old.incident_type}",
    "summary": lambda old, new: f"says {new.summary!r} instead of {old.summary!r}",
}


def _selected(old: Policy, new: Policy, label: str) -> str:
    was, now = old.selectors.get(label), new.selectors.get(label)
    if was is None or now is None or not was.values or not now.values:
        return f"holds for {label} {_pattern(now)} instead of {_pattern(was)}"
    come = [value for value in now.values if value not in was.values]
    gone = [value for value in was.values if value not in now.values]
    parts = [f"holds for {label} {_listed(come)} too"] if come else []
    parts += [f"no longer holds for {label} {_listed(gone)}, for which all alerts are silent now"] if gone else []
    return "the policy " + (" and ".join(parts) or f"names the values of {label} in another order")


def _pattern(selector: Any) -> str:
    return "anything" if selector is None else str(selector.pattern)


def _reading(old: Policy, new: Policy, section: str, key: str) -> list[str]:
    """The alerts that read a series, or a signal of the policy's own."""
    readings = {
        alert.alert: None
        for policy in (old, new)
        for alert in policy.alerts
        if key in (_series_of(policy, alert) if section == "series" else alert.when)
    }
    return list(readings)


def _series_of(policy: Policy, alert: Alert) -> set[str]:
    used = [signal(policy, comparison, alert) for comparison in comparisons(alert.condition)]
    return {policy.series.key(kind) for needing in used for kind in needing.needs}


def _generic(path: Path, was: Any, now: Any) -> str:
    where = path_text(path)
    if was in (None, [], {}, ""):
        return f"{where} is {_shown(now)}, and was nothing"
    if now in (None, [], {}, ""):
        return f"{where} is nothing any more, and was {_shown(was)}"
    return f"{where} is {_shown(now)} instead of {_shown(was)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items() if item not in (None, [], {}, ""))
    return _listed(value) if isinstance(value, list) else str(value)


def _listed(values: Any) -> str:
    texts = [str(value) for value in values]
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else "".join(texts)


def _concerns(alerts: list[str]) -> str:
    return f"; this concerns {_listed(alerts)}" if alerts else "; no alert reads it"


def _slower(was: str, now: str) -> str:
    return _LATER if parse_duration(now) > parse_duration(was) else _SOONER


def _text(alert: Alert, field: str) -> str:
    return str(alert.model_dump(mode="json", include={field})[field])
