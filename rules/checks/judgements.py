"""Checks of how a deployment's health is judged: kinds with weights, pairs of limits about one signal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from deploywatch.config import nearest
from deploywatch.files.document import Path
from deploywatch.rules.checks.draft import Draft, Fault, conditions, readable
from deploywatch.rules.checks.limits import comparison_fault
from deploywatch.rules.language.expression import Comparison, ExpressionError


# What only the worse limit calls bad would count as less than that.
def limits_are_of_one_signal(draft: Draft) -> Iterator[Fault]:
    """A status and an anomaly are each about one signal, compared one way."""
    pairs: dict[Path, list[Comparison]] = {}
    for path, text in conditions(draft):
        condition = readable(text)
        if path[0] != "health" or condition is None:
            continue
        if not isinstance(condition, Comparison):
            yield Fault(path, "takes one comparison")
            continue
        pairs.setdefault(path[:-1], []).append(condition)
    for path, both in pairs.items():
        if len({(comparison.signal, comparison.operator) for comparison in both}) > 1:
            forms = " and ".join(f"{comparison.signal} {comparison.operator}" for comparison in both)
            yield Fault(path, f"must compare one signal one way, not {forms}")
        elif len(both) > 1 and _milder(both[0], both[1]):
            yield Fault(path, f"{both[1].written} is milder than {both[0].written}; exchange them")
    yield from _statuses_given_twice(pairs)


def _statuses_given_twice(pairs: Mapping[Path, Sequence[Comparison]]) -> Iterator[Fault]:
    named = Counter(both[0].signal for path, both in pairs.items() if path[1] == "signals")
    for path, both in pairs.items():
        if path[1] == "signals" and named[both[0].signal] > 1:
            yield Fault(path, f"{both[0].signal} has a status twice; keep one")


def _milder(first: Comparison, second: Comparison) -> bool:
    """Whether the second limit, which is for what is worse, holds where the first does not."""
    lower, upper = first.quantity.value, second.quantity.value
    return upper < lower if first.operator.startswith(">") else upper > lower if first.operator[0] == "<" else False


def kinds_have_weights(draft: Draft) -> Iterator[Fault]:
    """A signal's status counts with the weight of its kind."""
    if draft.health is None:
        return
    for position, status in enumerate(draft.health.signals):
        if status.kind not in draft.health.weights:
            message = f"{status.kind!r} has no weight{nearest(status.kind, draft.health.weights)}"
            yield Fault(("health", "signals", position, "kind"), message)


def impact_is_measured(draft: Draft) -> Iterator[Fault]:
    """Points are given for signals, in their units."""
    impact = draft.health.impact if draft.health is not None else None
    for position, points in enumerate(impact.measured if impact is not None else ()):
        path: Path = ("health", "impact", "measured", position)
        try:
            fault = comparison_fault(draft, points.comparison)
        except ExpressionError as error:
            yield Fault((*path, "of"), str(error), error.offset)
            continue
        if fault is not None:
            yield Fault((*path, "of"), fault[0])
        elif not points.per.value:
            yield Fault((*path, "per"), "must be more than nothing")
    if impact is not None and draft.health is not None:
        yield from _estimates(draft.health.weights, impact.estimated.kind, impact.estimated.critical)


def _estimates(weights: Mapping[str, object], kind: str, critical: Mapping[str, object]) -> Iterator[Fault]:
    if critical and kind not in weights:
        yield Fault(("health", "impact", "estimated", "kind"), f"{kind!r} has no weight{nearest(kind, weights)}")
