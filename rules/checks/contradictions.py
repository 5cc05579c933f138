"""Checks of whole conditions: comparisons of one signal that can never hold at once, or of which one always does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from deploywatch.rules.checks.draft import Draft, Fault, conditions, readable
from deploywatch.rules.comparison import OPERATIONS
from deploywatch.rules.conditions import resolve
from deploywatch.rules.language.expression import (
    Comparison,
    Condition,
    Every,
    ExpressionError,
    alternatives,
    comparisons,
)
from deploywatch.rules.signals.signal import Domain, Signal


def conditions_can_be_true_and_false(draft: Draft) -> Iterator[Fault]:
    """Every condition of the policy; a signal with several values for a service is looked at one value at a time."""
    for path, text in conditions(draft):
        condition = readable(text)
        if condition is None:
            continue
        known = _known(draft, condition)
        for way in alternatives(condition):
            if (pair := _at_odds(way, known)) is not None:
                labels = known[pair[0].signal].labels
                more = f" of one {' and '.join(labels)}; make an alert of each" if labels else ""
                message = f"{pair[0]} and {pair[1]} can never be true at once{more}"
                yield Fault(path, message, pair[1].quantity_offset)
                break
        else:
            if signal := _always_true_of(condition, known):
                yield Fault(path, f"{condition} is always true, whatever {signal} is")


def _known(draft: Draft, condition: Condition) -> dict[str, Signal]:
    """The signals that can be resolved, by how the condition writes them."""
    signals = {}
    for comparison in comparisons(condition):
        try:
            signals[comparison.signal] = resolve(draft.signals, comparison)
        except ExpressionError:
            continue  # which its own fault says
    return signals


def _always_true_of(condition: Condition, known: dict[str, Signal]) -> str | None:
    """The one signal that a condition compares several times, where one of these comparisons always holds."""
    every = list(comparisons(condition))
    signals = {comparison.signal for comparison in every}
    if len(every) < 2 or len(signals) != 1 or not signals <= known.keys():
        return None
    (signal,) = signals
    values = _tried(every, known[signal].domain)
    return signal if values and all(_holds(condition, value) for value in values) else None


def _at_odds(way: Sequence[Comparison], known: dict[str, Signal]) -> tuple[Comparison, Comparison] | None:
    """Two comparisons of one signal that no value makes true together."""
    for position, second in enumerate(way):
        for first in way[:position]:
            if first.signal != second.signal or first.signal not in known:
                continue
            both = (first, second)
            values = _tried(both, known[first.signal].domain)
            if not any(all(_holds(comparison, value) for comparison in both) for value in values):
                return both
    return None


def _tried(every: Sequence[Comparison], domain: Domain) -> list[Decimal]:
    """A value of the domain in each range between the limits, and each limit."""
    limits = sorted({comparison.quantity.value for comparison in every})
    step = Decimal(1)
    between = [(low + high) / 2 for low, high in pairwise(limits)]
    ends = [(limits[0] + domain.lowest) / 2] if domain.lowest is not None else []
    ends += [(limits[-1] + domain.highest) / 2] if domain.highest is not None else []
    values = [*limits, *between, *ends, limits[0] - step, limits[-1] + step]
    if domain.whole:
        values = [value.to_integral_value() + more for value in values for more in (-step, 0, step)]
    return [value for value in dict.fromkeys(values) if value in domain]


def _holds(condition: Condition, value: Decimal) -> bool:
    """Whether the condition is true where every signal in it has this value."""
    if isinstance(condition, Comparison):
        return OPERATIONS[condition.operator](value, condition.quantity.value)
    parts = (_holds(part, value) for part in condition.parts)
    return all(parts) if isinstance(condition, Every) else any(parts)
