"""A comparison joined with its signal: as PromQL, whether it holds for a value, and the values to try it with."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from deploywatch.rules import conditions, promql
from deploywatch.rules.conditions.deployments import ON
from deploywatch.rules.language.expression import Comparison, Condition, Every
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.signals.signal import Domain, Reading, Signal

OPERATIONS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}

_OPPOSITE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}

# Floats keep 15 digits, and rates divide: a step of a ten-thousandth is still told apart after both.
_NEAR = Decimal("0.0001")
"""How near to a threshold its tests go, as a share of it; nearer, and the float that Prometheus reads is the same."""


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison of a policy, with what is read for it."""

    comparison: Comparison
    signal: Signal
    reading: Reading

    def holds(self, value: Decimal) -> bool:
        """Whether the comparison is true of this value of the recorded series."""
        return OPERATIONS[self.comparison.operator](value, self.reading.threshold)

    def expression(self, policy: Policy) -> str:
        """The comparison in PromQL."""
        series = promql.recorded(policy, self.reading.record)
        return f"{series} {self.comparison.operator} {promql.constant(self.reading.threshold)}"

    def around(self) -> dict[str, Decimal]:
        """The values next to the threshold that the series can take: `just below`, `at`, `just above`."""
        threshold, domain = self.reading.threshold, self.reading.domain
        if domain.whole:
            below, above = _whole(threshold, ROUND_CEILING) - 1, _whole(threshold, ROUND_FLOOR) + 1
        else:
            step = abs(threshold) * _NEAR or _NEAR
            below, above = threshold - step, threshold + step
        values = {"just below": below, "at": threshold, "just above": above}
        return {name: value for name, value in values.items() if value in domain}

    def examples(self) -> list[Decimal]:
        """Values that the series can take, well off the threshold first, then next to it."""
        return [*_far(self.reading.threshold, self.reading.domain), *self.around().values()]

    def example(self, *, holds: bool) -> Decimal:
        """A value, well off the threshold if possible, of which the comparison is true, or false."""
        return next(value for value in self.examples() if self.holds(value) is holds)


def term(policy: Policy, comparison: Comparison, alert: Alert | None = None) -> Term:
    """Join one comparison with its signal."""
    signal = conditions.signal(policy, comparison, alert)
    return Term(comparison, signal, signal.reading(policy, comparison.quantity))


def expression(policy: Policy, condition: Condition, joined: Mapping[Comparison, Term]) -> str:
    """The condition in PromQL; both sides of an `and` are about the same service."""
    if isinstance(condition, Comparison):
        return joined[condition].expression(policy)
    # `or` needs no `on`: it takes what the left side lacks, and both sides bear the same labels.
    word = f"and {ON}" if isinstance(condition, Every) else "or"
    parts = [expression(policy, part, joined) for part in condition.parts]
    if isinstance(condition, Every):
        parts = [
            text if isinstance(part, Comparison) else f"({text})"
            for text, part in zip(parts, condition.parts, strict=True)
        ]
    return f"\n{word}\n".join(parts)


def impossible(comparison: Comparison, domain: Domain) -> str | None:
    """Why a comparison says nothing: it can never be true, or is always; None when it can be either."""
    bound = comparison.quantity.value
    if not _attainable(comparison.operator, bound, domain):
        return "can never be true"
    return None if _attainable(_OPPOSITE[comparison.operator], bound, domain) else "is always true"


def _attainable(sign: str, bound: Decimal, domain: Domain) -> bool:
    """Whether a value of the domain makes the comparison true."""
    if sign == "==":
        return bound in domain
    if sign == "!=":
        return not domain.lowest == domain.highest == bound
    end = domain.highest if sign in {">", ">="} else domain.lowest
    return end is None or OPERATIONS[sign](end, bound)


def _far(threshold: Decimal, domain: Domain) -> list[Decimal]:
    """Half-way from the threshold to the ends of the range, or twice it where there is no end."""
    above = threshold * 2 or Decimal(1) if domain.highest is None else (threshold + domain.highest) / 2
    below = threshold / 2 if domain.lowest is None else (threshold + domain.lowest) / 2
    if domain.whole:
        above, below = _whole(above, ROUND_CEILING), _whole(below, ROUND_FLOOR)
    return [value for value in (above, below, threshold) if value in domain]


def _whole(value: Decimal, rounding: str) -> Decimal:
    return value.to_integral_value(rounding=rounding)
