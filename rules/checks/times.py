"""Checks of limits that step with a deployment: windows that are known, one comparison, limits that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from deploywatch.document import Path
from deploywatch.quantity import Quantity, parse_quantity
from deploywatch.rules.checks.draft import Draft, Fault, readable
from deploywatch.rules.checks.limits import comparison_fault
from deploywatch.rules.conditions import resolve
from deploywatch.rules.conditions.deployments import read_window
from deploywatch.rules.language.expression import Comparison
from deploywatch.rules.signals.service.latency import LatencyQuantile


def limits_step_in_known_windows(found: Draft) -> Iterator[Fault]:
    """`within` and `tighter` of every alert."""
    for position, alert in enumerate(found.alerts):
        path: Path = ("alerts", position)
        steps = [one for one in _list(alert.get("tighter")) if isinstance(one, Mapping)]
        if "within" not in alert and not steps:
            continue
        yield from _window(found, (*path, "within"), alert.get("within"))
        condition = readable(alert.get("when"))
        if condition is not None and not isinstance(condition, Comparison):
            key = "within" if "within" in alert else "tighter"
            yield Fault((*path, key), "takes one comparison in `when`; make an alert of each")
            continue
        for number, one in enumerate(steps):
            here: Path = (*path, "tighter", number)
            yield from _window(found, (*here, "within"), one.get("within"))
            if condition is not None:
                yield from _step(found, (*here, "limit"), one.get("limit"), condition)


def _step(found: Draft, path: Path, text: Any, usual: Comparison) -> Iterator[Fault]:
    if not isinstance(text, str):
        return
    try:
        limit = parse_quantity(text)
    except ValueError as error:
        yield Fault(path, str(error))
        return
    other = replace(usual, quantity=limit, written=text, quantity_offset=0)
    if comparison_fault(found, usual) is not None:
        return
    fault = comparison_fault(found, other)
    if fault is not None:
        yield Fault(path, fault[0])
    elif limit.value == usual.quantity.value:
        yield Fault(path, f"{text} is the limit of `when` too; leave it out")
    elif _is_looser(usual, limit):
        side = "below" if usual.operator in {">", ">="} else "above"
        yield Fault(path, f"{text} is looser than the limit of `when`, {usual.written}; write one {side} it")
    else:
        yield from _alike(found, path, usual, limit)


def _is_looser(usual: Comparison, limit: Quantity) -> bool:
    if usual.operator in {">", ">="}:
        return limit.value > usual.quantity.value
    return usual.operator in {"<", "<="} and limit.value < usual.quantity.value


def _alike(found: Draft, path: Path, usual: Comparison, limit: Quantity) -> Iterator[Fault]:
    """A share of slower requests and an interpolated quantile could not be told in one text."""
    signal = resolve(found.signals, usual)
    if isinstance(signal, LatencyQuantile):
        bounds = found.series.of(signal.kind).bounds
        if (limit.value in bounds) is not (usual.quantity.value in bounds):
            yield Fault(path, f"{limit} and {usual.written} must both be bounds of buckets, or neither; add a bucket")


def _window(found: Draft, path: Path, text: Any) -> Iterator[Fault]:
    if isinstance(text, str):
        try:
            read_window(text, found.stages)
        except ValueError as error:
            yield Fault(path, str(error))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
