"""Checks of limits that step with a deployment: windows that are known, one comparison, limits that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from deploywatch.files.document import Path
from deploywatch.quantity import Quantity, parse_quantity
from deploywatch.rules.checks.draft import Draft, Fault, readable
from deploywatch.rules.checks.limits import comparison_fault
from deploywatch.rules.conditions import resolve
from deploywatch.rules.conditions.deployments import read_window
from deploywatch.rules.language.expression import Comparison
from deploywatch.rules.signals.service.latency import LatencyQuantile


def limits_step_in_known_windows(draft: Draft) -> Iterator[Fault]:
    """`within` and `tighter` of every alert."""
    for position, alert in enumerate(draft.alerts):
        path: Path = ("alerts", position)
        steps = [step for step in _list(alert.get("tighter")) if isinstance(step, Mapping)]
        if "within" not in alert and not steps:
            continue
        yield from _window(draft, (*path, "within"), alert.get("within"))
        condition = readable(alert.get("when"))
        if condition is not None and not isinstance(condition, Comparison):
            key = "within" if "within" in alert else "tighter"
            yield Fault((*path, key), "takes one comparison in `when`; make an alert of each")
            continue
        for number, step in enumerate(steps):
            here: Path = (*path, "tighter", number)
            yield from _window(draft, (*here, "within"), step.get("within"))
            if condition is not None:
                yield from _step(draft, (*here, "limit"), step.get("limit"), condition)


def _step(draft: Draft, path: Path, text: Any, usual: Comparison) -> Iterator[Fault]:
    if not isinstance(text, str):
        return
    try:
        limit = parse_quantity(text)
    except ValueError as error:
        yield Fault(path, str(error))
        return
    if comparison_fault(draft, usual) is not None:
        return
    step = replace(usual, quantity=limit, written=text, quantity_offset=0)
    if (fault := comparison_fault(draft, step)) is not None:
        yield Fault(path, fault[0])
    else:
        yield from _beside_usual(draft, path, usual, step)


def _beside_usual(draft: Draft, path: Path, usual: Comparison, step: Comparison) -> Iterator[Fault]:
    """A step that changes nothing, loosens the alert, or cannot be told from the usual limit."""
    text, limit = step.written, step.quantity
    if limit.value == usual.quantity.value:
        yield Fault(path, f"{text} is the limit of `when` too; leave it out")
    # After a deployment one looks more closely, never less: the loose limit would hide what the usual one shows.
    elif _is_looser(usual, limit):
        side = "below" if usual.operator in {">", ">="} else "above"
        yield Fault(path, f"{text} is looser than the limit of `when`, {usual.written}; write one {side} it")
    else:
        yield from _alike(draft, path, usual, limit)


def _is_looser(usual: Comparison, limit: Quantity) -> bool:
    if usual.operator in {">", ">="}:
        return limit.value > usual.quantity.value
    return usual.operator in {"<", "<="} and limit.value < usual.quantity.value


def _alike(draft: Draft, path: Path, usual: Comparison, limit: Quantity) -> Iterator[Fault]:
    """A share of slower requests and an interpolated quantile could not be told in one text."""
    signal = resolve(draft.signals, usual)
    if isinstance(signal, LatencyQuantile):
        bounds = draft.series.of(signal.kind).bounds
        # On a bound the share of slower ones is counted, off it the quantile is interpolated: two different series,
        # which one rule cannot compare with one threshold.
        if bounds and (limit.value in bounds) is not (usual.quantity.value in bounds):
            yield Fault(path, f"{limit} and {usual.written} must both be bounds of buckets, or neither; add a bucket")


def _window(draft: Draft, path: Path, text: Any) -> Iterator[Fault]:
    if isinstance(text, str):
        try:
            read_window(text, draft.stages)
        except ValueError as error:
            yield Fault(path, str(error))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
