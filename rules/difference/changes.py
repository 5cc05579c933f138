"""What changes for people when one policy takes the place of another, in words.

Every value in which the two differ gives a sentence: one that says what it means where that is known, else the key with
both values. What stands in a policy in another order, or is spelled out where it was the default, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploywatch.files.document import Path, path_text
from deploywatch.rules.conditions import signal
from deploywatch.rules.difference.alerts import OF_ALERT, come, gone, listed, slower, verb
from deploywatch.rules.language.expression import comparisons
from deploywatch.rules.policy import Alert, Policy

_NAMES = {"alerts": "alert", "stages": "stage", "tighter": "within", "examples": "name", "signals": "critical"}
"""Lists whose entries are told apart by a key of theirs, and not by their position."""


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
    sentences = [
        *(Change(("alerts", now, "alert"), was, now, _rename(was, now)) for was, now in moved.items()),
        *(
            Change(path, was, now, _words(old, new, path, was, now))
            for path, was, now in differences
            if not (path[0] == "alerts" and len(path) == 2 and path[1] in {*moved, *moved.values()})
        ),
    ]
    # Sorting keeps the order within each: what is about alerts comes first, as that is read first.
    return tuple(sorted(sentences, key=lambda change: change.path[0] != "alerts"))


def _plain(policy: Policy) -> dict[str, Any]:
    """The policy as plain data, lists of named entries as mappings."""
    named: dict[str, Any] = _by_name(policy.model_dump(mode="json", by_alias=True), "")
    return named


def _by_name(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _by_name(item, name) for name, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        # By name, so that an alert which moved within the file has not changed.
        own = _NAMES.get(key)
        if own is not None and all(own in item for item in value):
            return {item[own]: _by_name(item, "") for item in value}
        return {str(number): _by_name(item, "") for number, item in enumerate(value)}
    return value


def _differences(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(key), new.get(key), (*path, key))
    # An empty list and none given mean the same.
    elif (old or None) != (new or None):
        yield path, old, new


def _renamed(old: Policy, new: Policy) -> dict[str, str]:
    """Alerts that differ in nothing but their name."""
    gone = [alert for alert in old.alerts if alert.alert not in {other.alert for other in new.alerts}]
    come = [alert for alert in new.alerts if alert.alert not in {other.alert for other in old.alerts}]
    # Renamed only where all else is the same; otherwise one is gone and another new, which is what people must know.
    return {was.alert: now.alert for was in gone for now in come if was.model_copy(update={"alert": now.alert}) == now}


def _rename(was: str, now: str) -> str:
    return f"{now} is what {was} was; silences and routes that name {was} no longer hold for it"


def _words(old: Policy, new: Policy, path: Path, was: Any, now: Any) -> str:
    match path:
        case ("alerts", str(name)):
            return come(_alert(new, name)) if was is None else gone(_alert(old, name))
        case ("alerts", str(name), *inside):
            return f"{name}{_of_alert(_alert(old, name), _alert(new, name), tuple(inside), was, now)}"
        case ("selectors", label):
            return _selected(old, new, str(label))
        case ("window",):
            return f"rates are taken over {now} instead of {was}: alerts begin and end {slower(was, now)}"
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
            return f" {verb(new)} at {now} instead of {was} within {within}"
        case (str(key),) if key in OF_ALERT:
            return f" {OF_ALERT[key](old, new)}"
    return f": {_generic(path, was, now)}"


def _alert(policy: Policy, name: str) -> Alert:
    return next(alert for alert in policy.alerts if alert.alert == name)


def _selected(old: Policy, new: Policy, label: str) -> str:
    was, now = old.selectors.get(label), new.selectors.get(label)
    if was is None or now is None or not was.values or not now.values:
        return f"holds for {label} {_pattern(now)} instead of {_pattern(was)}"
    come = [value for value in now.values if value not in was.values]
    gone = [value for value in was.values if value not in now.values]
    parts = [f"holds for {label} {listed(come)} too"] if come else []
    parts += [f"no longer holds for {label} {listed(gone)}, for which all alerts are silent now"] if gone else []
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
    return listed(value) if isinstance(value, list) else str(value)


def _concerns(alerts: list[str]) -> str:
    return f"; this concerns {listed(alerts)}" if alerts else "; no alert reads it"
