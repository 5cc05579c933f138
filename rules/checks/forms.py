"""Checks of names, sources, windows, waits and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from deploywatch.config import nearest
from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.files.document import Path
from deploywatch.quantity import format_duration
from deploywatch.rules.checks.draft import Draft, Fault, duration, readable
from deploywatch.rules.conditions import resolve
from deploywatch.rules.language.expression import ExpressionError, comparisons
from deploywatch.rules.outputs import wording
from deploywatch.rules.signals import SIGNALS
from deploywatch.rules.signals.signal import Signal


def window_holds_two_samples(draft: Draft) -> Iterator[Fault]:
    """A rate needs two samples."""
    if draft.window < 2 * draft.interval:
        window, interval = format_duration(draft.window), format_duration(draft.interval)
        yield Fault(("window",), f"{window} must be at least twice the interval, {interval}, or rates have no value")


def names_are_single(draft: Draft) -> Iterator[Fault]:
    """Two alerts of one name could not be told apart, nor two stages, nor a signal and one of ours."""
    yield from _single([(("alerts", n, "alert"), entry.get("alert")) for n, entry in enumerate(draft.alerts)])
    stages = draft.given.get("stages")
    entries = [entry for entry in stages if isinstance(entry, dict)] if isinstance(stages, list) else []
    yield from _single([(("stages", n, "stage"), entry.get("stage")) for n, entry in enumerate(entries)])
    for name in sorted(draft.custom & SIGNALS.keys()):
        yield Fault(("signals", name), f"{name} is a signal that deploywatch has; give yours another name")


def _single(named: list[tuple[Path, Any]]) -> Iterator[Fault]:
    seen: dict[str, Path] = {}
    for path, name in named:
        if isinstance(name, str) and name in seen:
            first = f"{seen[name][0]}[{seen[name][1]}]"
            yield Fault(path, f"{name} is the name of {first} too; give each its own")
        elif isinstance(name, str):
            seen[name] = path


def sources_are_known(draft: Draft) -> Iterator[Fault]:
    """Every threshold comes from a source that the policy names."""
    cited: list[tuple[Path, Any]] = [
        (("alerts", position), alert.get("source")) for position, alert in enumerate(draft.alerts)
    ]
    health = draft.given.get("health")
    if isinstance(health, dict):
        cited.append((("health",), health.get("source")))
    for path, names in cited:
        for name in names if isinstance(names, dict) and draft.sources is not None else ():
            if name not in (draft.sources or ()):
                message = f"unknown source {name!r}{nearest(name, draft.sources or ())}"
                yield Fault((*path, "source", name), message)


def waits_are_evaluations(draft: Draft) -> Iterator[Fault]:
    """A `for` shorter than the interval is no wait at all, and a `keep_firing_for` neither."""
    for position, alert in enumerate(draft.alerts):
        for key in ("for", "keep_firing_for"):
            wait = duration(alert.get(key), timedelta(0))
            if timedelta(0) < wait < draft.interval:
                instead = "leave it out to fire at once" if key == "for" else "leave it out"
                message = (
                    f"{format_duration(wait)} is shorter than the interval, {format_duration(draft.interval)}, "
                    f"so it cannot be kept; make it longer, or {instead}"
                )
                yield Fault(("alerts", position, key), message)


def constants_are_selected(draft: Draft) -> Iterator[Fault]:
    """What series without a label are always of is what the policy is about: one service, or one environment."""
    selected = draft.given.get("selectors")
    given = selected if isinstance(selected, dict) else {}
    for key, source in draft.series:
        for ours, value in source.labels.constant.items() if key in draft.declared and source is not None else ():
            if str(given.get(ours)) != value:
                message = f"the series are always of {value}; write `selectors: {{{ours}: {value}}}` as well"
                yield Fault(("series", key, "labels", ours), message)


def texts_can_be_filled(draft: Draft) -> Iterator[Fault]:
    """Texts name only what the alert has; its own labels say what they say, and are none of its series'."""
    for position, alert in enumerate(draft.alerts):
        known = wording.placeholders(_used(draft, alert.get("when")))
        for path, text in _texts(alert):
            for message, offset in wording.faults(text, known):
                yield Fault(("alerts", position, *path), message, offset)
        own = alert.get("labels")
        for name, text in own.items() if isinstance(own, dict) else ():
            if name in known - {"value", "threshold", SERVICE, ENVIRONMENT}:
                yield Fault(("alerts", position, "labels", name), f"{name} is a label of the alert's series already")
            elif isinstance(text, str) and ("{" in text or "}" in text):
                # What changes with the value would make a new alert of each value.
                yield Fault(("alerts", position, "labels", name), "a label is plain text; put {value} into annotations")


def _texts(alert: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    own = alert.get("annotations")
    more = {("annotations", name): text for name, text in own.items()} if isinstance(own, dict) else {}
    every: dict[tuple[str, ...], Any] = {(key,): alert.get(key) for key in ("summary", "description")}
    yield from ((path, text) for path, text in (every | more).items() if isinstance(text, str))


def _used(draft: Draft, text: Any) -> list[Signal]:
    """The signals of a condition; where it cannot be read, all, so that nothing is said of their labels."""
    condition = readable(text)
    if condition is None:
        return list(draft.signals.values())
    used = []
    for comparison in comparisons(condition):
        try:
            used.append(resolve(draft.signals, comparison))
        except ExpressionError:
            continue
    return used
