"""Checks of what part of the series an alert is about: a role that its series know, labels that leave something."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from deploywatch.files.document import Path
from deploywatch.quantity import format_duration
from deploywatch.rules.checks.draft import Draft, Fault, readable
from deploywatch.rules.conditions import resolve
from deploywatch.rules.conditions.view import of_alert
from deploywatch.rules.language.expression import ExpressionError, comparisons
from deploywatch.rules.language.parts import Part


def parts_are_there(draft: Draft) -> Iterator[Fault]:
    """`role`, `only`, `excluding` and `window` of every alert."""
    for position, alert in enumerate(draft.alerts):
        given = {key: alert[key] for key in Part.model_fields if key in alert}
        try:
            part = Part.model_validate(given)
        except ValidationError:
            continue
        path: Path = ("alerts", position)
        if part.window is not None and part.window < 2 * draft.interval:
            window, interval = format_duration(part.window), format_duration(draft.interval)
            message = f"{window} must be at least twice the interval, {interval}, or rates have no value"
            yield Fault((*path, "window"), message)
        if given:
            yield from (Fault((*path, next(iter(given))), message) for message in _unfit(draft, alert, part))


def _unfit(draft: Draft, alert: Mapping[str, Any], part: Part) -> Iterator[str]:
    """Why signals of the alert's condition cannot be seen in this part alone."""
    condition = readable(alert.get("when"))
    if condition is None:
        return
    signals = {name: of_alert(signal, part, str(alert.get("alert"))) for name, signal in draft.signals.items()}
    for comparison in comparisons(condition):
        # That fault is told by the check of conditions.
        with contextlib.suppress(ExpressionError):
            if message := resolve(signals, comparison).unfit(draft.series):
                yield message
