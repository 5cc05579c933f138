"""Checks of names, sources, windows, waits and texts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from deploywatch.config import nearest
from deploywatch.document import Path
from deploywatch.quantity import format_duration
from deploywatch.rules.checks.draft import Draft, Fault, duration, readable
from deploywatch.rules.conditions import resolve
from deploywatch.rules.language.expression import ExpressionError, comparisons
from deploywatch.rules.outputs import wording
from deploywatch.rules.signals import SIGNALS
from deploywatch.rules.signals.signal import Signal


def window_holds_two_samples(found: Draft) -> Iterator[Fault]:
    """A rate needs two samples."""
    if found.window < 2 * found.interval:
        window, interval = format_duration(found.window), format_duration(found.interval)
        yield Fault(("window",), f"{window} must be at least twice the interval, {interval}, or rates have no value")


def names_are_single(found: Draft) -> Iterator[Fault]:
    """Two alerts of one name could not be told apart, nor two stages, nor a signal and one of ours."""
    yield from _single([(("alerts", n, "alert"), one.get("alert")) for n, one in enumerate(found.alerts)])
    stages = found.given.get("stages")
    entries = [one for one in stages if isinstance(one, dict)] if isinstance(stages, list) else []
    yield from _single([(("stages", n, "stage"), one.get("stage")) for n, one in enumerate(entries)])
    for name in sorted(found.custom & SIGNALS.keys()):
        yield Fault(("signals", name), f"{name} is a signal that deploywatch has; give yours another name")


def _single(named: list[tuple[Path, Any]]) -> Iterator[Fault]:
    seen: dict[str, Path] = {}
    for path, name in named:
        if isinstance(name, str) and name in seen:
            first = f"{seen[name][0]}[{seen[name][1]}]"
            yield Fault(path, f"{name} is the name of {first} too; give each its own")
        elif isinstance(name, str):
            seen[name] = path


def sources_are_known(found: Draft) -> Iterator[Fault]:
    """Every threshold comes from a source that the policy names."""
    cited: list[tuple[Path, Any]] = [
        (("alerts", position), alert.get("source")) for position, alert in enumerate(found.alerts)
    ]
    health = found.given.get("health")
    if isinstance(health, dict):
        cited.append((("health",), health.get("source")))
    for path, names in cited:
        for name in names if isinstance(names, dict) and found.sources is not None else ():
            if name not in (found.sources or ()):
                message = f"unknown source {name!r}{nearest(name, found.sources or ())}"
                yield Fault((*path, "source", name), message)


def waits_are_evaluations(found: Draft) -> Iterator[Fault]:
    """A `for` shorter than the interval is no wait at all, and a `keep_firing_for` neither."""
    for position, alert in enumerate(found.alerts):
        for key in ("for", "keep_firing_for"):
            wait = duration(alert.get(key), timedelta(0))
            if timedelta(0) < wait < found.interval:
                instead = "leave it out to fire at once" if key == "for" else "leave it out"
                message = (
                    f"{format_duration(wait)} is shorter than the interval, {format_duration(found.interval)}, "
                    f"so it cannot be kept; make it longer, or {instead}"
                )
                yield Fault(("alerts", position, key), message)


def texts_can_be_filled(found: Draft) -> Iterator[Fault]:
    """Summary and description name only what the alert has."""
    for position, alert in enumerate(found.alerts):
        known = wording.placeholders(_used(found, alert.get("when")))
        for key in ("summary", "description"):
            text = alert.get(key)
            for message, offset in wording.faults(text, known) if isinstance(text, str) else ():
                yield Fault(("alerts", position, key), message, offset)


def _used(found: Draft, text: Any) -> list[Signal]:
    """The signals of a condition; where it cannot be read, all, so that nothing is said of their labels."""
    condition = readable(text)
    if condition is None:
        return list(found.signals.values())
    used = []
    for one in comparisons(condition):
        try:
            used.append(resolve(found.signals, one))
        except ExpressionError:
            continue
    return used
